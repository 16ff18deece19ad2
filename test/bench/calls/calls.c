/*
 * What open, connect, exec, fork and a denied open cost, in nanoseconds a call: the least of several rounds.
 * Run in a guest whose clock counts instructions, so that they are instructions.
 *
 *   calls FOLDER     one line `NAME NANOSECONDS` for each; FOLDER has `file`, `denied` and `exits`
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *folder;

static void die(const char *what)
{
    fprintf(stderr, "calls: %s: %s\n", what, strerror(errno));
    exit(1);
}

static const char *at(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void open_file(void)
{
    int file = open(at("file"), O_RDONLY);
    if (file < 0)
        die("open");
    close(file);
}

/* As long as no policy denies it, a plain open. */
static void open_denied(void)
{
    int file = open(at("denied"), O_RDONLY);
    if (file >= 0)
        close(file);
    else if (errno != EPERM)
        die("open of what is denied");
}

static int datagrams;

static void connect_datagrams(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(datagrams, (struct sockaddr *)&to, sizeof(to)))
        die("connect");
}

static void wait_for(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        die("child");
}

static void fork_child(void)
{
    pid_t child = fork();
    if (!child)
        _exit(0);
    wait_for(child);
}

static void exec_child(void)
{
    pid_t child = vfork();
    if (!child) {
        execl(at("exits"), "exits", NULL);
        _exit(1);
    }
    wait_for(child);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void measure(const char *name, void (*call)(void), int calls)
{
    double least = 1e18;
    for (int round = 0; round < 7; round++) {
        double start = now();
        for (int i = 0; i < calls; i++)
            call();
        double took = (now() - start) / calls;
        least = took < least ? took : least;
    }
    printf("%s %.1f\n", name, least);
}

int main(int argc, char **argv)
{
    if (argc < 2) /* as `exits` */
        return 0;
    folder = argv[1];
    datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    if (datagrams < 0)
        die("socket");
    measure("open", open_file, 2000);
    measure("connect", connect_datagrams, 2000);
    measure("fork", fork_child, 100);
    measure("exec", exec_child, 50);
    measure("denied", open_denied, 2000);
    return 0;
}
