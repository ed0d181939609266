/* Makes the calls that the seccomp profile is about, and tells how each went. Statically linked; run in a container. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define IO_URING_SETUP 425
#define CLONE3 435

static void tell(const char *what, long result)
{
    printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
    fflush(stdout);
}

static void *nothing(void *argument)
{
    return argument;
}

int main(void)
{
    tell("io_uring_setup", syscall(IO_URING_SETUP, 1, 0));
    tell("socket AF_VSOCK", socket(40, SOCK_STREAM, 0));
    tell("socket AF_ALG", socket(38, SOCK_SEQPACKET, 0));
    tell("socket NETLINK_SOCK_DIAG", socket(16, SOCK_RAW, 4));
    tell("socket AF_INET", socket(AF_INET, SOCK_STREAM, 0));
    tell("socket NETLINK_ROUTE", socket(16, SOCK_RAW, 0));
    tell("unshare", unshare(CLONE_NEWUSER));
    tell("clone CLONE_NEWUSER", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    tell("clone3", syscall(CLONE3, 0, 0));
    tell("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    tell("userfaultfd", syscall(SYS_userfaultfd, 0));
    /* The C library tries clone3 first, and falls back. */
    pthread_t thread;
    errno = pthread_create(&thread, 0, nothing, 0);
    tell("thread", errno ? -1 : pthread_join(thread, 0));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    tell("process", child < 0 ? child : waitpid(child, 0, 0));
    return 0;
}
