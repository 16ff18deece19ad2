/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for a daemon that is exploited: it does, one at a time, what the exploit makes the daemon do, as
 * far as the kernel can tell, and says what came of it. Installed under the daemon's name it is that daemon
 * to a policy.
 *
 *   stubd             steps from stdin, a line each; a line of outcome on stdout for each
 *   stubd STEP...     one step; exit status: its outcome
 *
 * A step is a verb and its words, split at blanks. Each runs in a process of its own, which is a child of the
 * daemon as a CGI script or a shell would be. An outcome is `ok`, the errno's name as in `EPERM`, or
 * `killed`.
 *
 * Exit status where steps came from stdin: 0 all were tried, 2 one was no step.
 */
#define _GNU_SOURCE
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_BYTES 1024

static const struct verb *const all_verbs[] = {file_verbs, program_verbs, socket_verbs, kernel_verbs};

long number_of(const char *word)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(word, &end, 0);
    return errno || *end || end == word ? -1 : number;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t list = 0; list < sizeof(all_verbs) / sizeof(*all_verbs); list++) {
        for (const struct verb *verb = all_verbs[list]; verb->name; verb++) {
            if (!strcmp(verb->name, name))
                return verb;
        }
    }
    return NULL;
}

/* The outcome; -1: it is no step. */
static int do_step(int count, char **words)
{
    const struct verb *verb = count > 0 ? find_verb(words[0]) : NULL;

    if (!verb || count <= verb->least)
        return -1;
    return verb->does(count, words);
}

static int split(char *line, char **words)
{
    int count = 0;
    char *rest = line, *word;

    while ((word = strsep(&rest, " \n"))) {
        if (!*word)
            continue;
        if (count == WORDS_MAX)
            return -1;
        words[count++] = word;
    }
    words[count] = NULL;
    return count;
}

/* What the step starts must not read the steps that follow, nor speak in between. */
static void leave_streams(void)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (nowhere < 0)
        return;
    dup2(nowhere, STDIN_FILENO);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
}

static void say(const char *outcome)
{
    printf("%s\n", outcome);
    fflush(stdout);
}

static void say_number(int outcome)
{
    const char *name = outcome > OUTCOME_KILLED ? "killed" : strerrorname_np(outcome);

    say(outcome == 0 ? "ok" : name ? name : "unknown");
}

static int run_step(char *line)
{
    char *words[WORDS_MAX + 1];
    int count = split(line, words), status;
    const struct verb *verb = count > 0 ? find_verb(words[0]) : NULL;
    pid_t child;

    if (!verb || count <= verb->least)
        return -1;
    child = fork();
    if (child < 0)
        return errno;
    if (!child) {
        leave_streams();
        _exit(do_step(count, words));
    }
    if (waitpid(child, &status, 0) < 0)
        return errno;
    return WIFSIGNALED(status) ? OUTCOME_KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static int serve(void)
{
    char line[STEP_BYTES];

    while (fgets(line, sizeof(line), stdin)) {
        int outcome;

        if (!strchr(line, '\n') || (outcome = run_step(line)) < 0) {
            fprintf(stderr, "stubd: no step: %s\n", line);
            return 2;
        }
        say_number(outcome);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int outcome;

    if (argc < 2)
        return serve();
    outcome = do_step(argc - 1, argv + 1);
    return outcome < 0 ? 255 : outcome;
}
