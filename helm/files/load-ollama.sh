# Pulls the models named as arguments, and makes $MODEL from the mounted Modelfile, if there is one.
set -eu
ollama serve &
server=$!
until ollama ps >/dev/null 2>&1; do
  kill -0 "$server" # ends all of this, if the server has ended
  sleep 1
done
for model in "$@"; do
  ollama pull "$model"
done
if [ -n "${MODEL:-}" ]; then
  ollama create "$MODEL" -f "${MODELFILE:-/modelfile/Modelfile}"
fi
kill "$server"
