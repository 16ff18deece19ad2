#!/bin/sh
# The hole in a device's web pages that tests come in by: runs its query, percent-encoded, as a shell command, as a program with a
# command injection does. Decoding starts no other program: a policy may deny those.
printf 'Content-Type: text/plain\r\n\r\n'
command=$(printf '%b' "${QUERY_STRING//%/\\x}")
(eval "$command") 2>&1
printf '\nhusk-exit %s\n' "$?"
