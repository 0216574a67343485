/* reap.c -- closing a VM on a thread that ends with it.
 *
 * What a thread frees stays in malloc's cache of that thread, which is bigger here than
 * usual (supervisor.c: run_program).  A pool thread that closed VMs kept what the lanes
 * had allocated, 80 KB a VM; a thread's end gives all of it back.
 */
#include <pthread.h>

#include "vm/vm.h"

static void *destroy(void *vm)
{
    vm_destroy(vm);
    return NULL;
}

void vm_reap(struct vm *vm)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, destroy, vm) == 0)
        pthread_join(thread, NULL);
    else
        vm_destroy(vm);
}
