# -DMARU_CUDA=ON (preset "cuda") also makes libmaru-cuda.so, which maru loads when `kernels.gpu` names
# it; the program itself links nothing of CUDA.  Needs NVIDIA's toolkit: nvcc, cudart.
option(MARU_CUDA "Build libmaru-cuda.so" OFF)
if(MARU_CUDA)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES all-major)
  endif()
  enable_language(CUDA)
  add_library(maru-cuda MODULE core/kernels/cuda/library.cu)
  target_include_directories(maru-cuda PRIVATE core)
  target_compile_features(maru-cuda PRIVATE cuda_std_17)
  target_compile_options(maru-cuda PRIVATE -O3 -Xcompiler=-Wall,-Wextra)
  set_target_properties(maru-cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CXX_VISIBILITY_PRESET hidden
    CUDA_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  install(TARGETS maru-cuda LIBRARY DESTINATION lib/maru)
endif()
