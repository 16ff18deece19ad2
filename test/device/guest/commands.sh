#!/bin/sh
# Runs commands from the second serial line until it is closed.
#
# Host to guest, a line:   ID COMMAND...
# Guest to host, lines:    husk-ready
#                          husk-out ID TEXT      what the command writes, both streams
#                          husk-end ID STATUS
# Kernel messages go to the first serial line, so they never come between.

exec </dev/ttyS1 >/dev/ttyS1
stty raw -echo
echo husk-ready
while read -r id command; do
    { sh -c "$command" </dev/null 2>&1; echo "$?" >/run/status; } | sed "s/^/husk-out $id /"
    # Output without a newline at its end must not swallow this line; empty lines say nothing.
    printf '\nhusk-end %s %s\n' "$id" "$(cat /run/status)"
done
