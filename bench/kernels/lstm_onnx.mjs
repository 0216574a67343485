// lstm_onnx.mjs FOLDER: runs FOLDER/*.onnx when asked on its standard input, one thread: "NAME BATCH TIMES" → the least milliseconds.
import { createInterface } from "node:readline"
import { createRequire } from "node:module"

const [folder] = process.argv.slice(2)
const ort = createRequire(`${folder}/package.json`)("onnxruntime-node")
const options = { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: "sequential", graphOptimizationLevel: "all" }
const sessions = {}
console.log(JSON.stringify({ version: ort.env.versions.node ?? "" }))
for await (const line of createInterface({ input: process.stdin })) {
  const [name, batch, times] = line.split(" ")
  sessions[name] ??= await ort.InferenceSession.create(`${folder}/${name}.onnx`, options)
  const x = new ort.Tensor("float32", Float32Array.from({ length: batch * 100 }, (_, i) => ((i * 37) % 101) / 50 - 1), [+batch, 100, 1])
  let least = Infinity, y
  for (let i = 0; i < times; i++) {
    const began = performance.now()
    y = (await sessions[name].run({ x })).y.data
    least = Math.min(least, performance.now() - began)
  }
  console.log(JSON.stringify({ ms: least, y: Array.from(y.slice(0, 8)) }))
}
