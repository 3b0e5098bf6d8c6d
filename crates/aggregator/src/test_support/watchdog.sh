# Runs PostgreSQL for as long as our standard input is open, so that it ends with whoever started
# it, however that ended. $1 is the folder of all it writes; the rest is its command line.
folder=$1
shift
"$@" </dev/null >>"$folder/log" 2>&1 &
server=$!
echo "$server"
read -r word || word=
if [ "$word" = kill ]; then
    # As by a power loss: nobody may finish anything. Stopped first, so that no child comes after.
    kill -STOP "$server" 2>/dev/null
    children=$(cat "/proc/$server/task/$server/children" 2>/dev/null)
    # shellcheck disable=SC2086
    kill -KILL $children "$server" 2>/dev/null
    wait "$server" 2>/dev/null
else
    kill -QUIT "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    rm -rf -- "$folder"
fi
