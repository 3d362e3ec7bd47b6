#!/bin/sh
# Two folders of pictures, without an experiment: renders, and a target's pictures that look
# otherwise, of which nothing but the pixels is used. A refiner is made of both and applied to
# pictures that it has not seen.
#
#   sh experiments/refine_folders.sh [FOLDER [KEY=VALUE ...]]
#
# FOLDER is a new one (results/refine_folders); settings are those of the method.
set -eu
cd "$(dirname "$0")/.."
folder="${1:-results/refine_folders}"
[ $# -eq 0 ] || shift
metasim="${METASIM:-.venv/bin/metasim}"
method="${METHOD:-cut}" count="${COUNT:-1000}"
grammar=assets/grammars/mnist_rot.yaml
draw() { # NAME RENDERER SEED SPLIT
    "$metasim" generate "$grammar" --renderer "$2" 'image_size=[32,32]' glyphs=digits "split=$4" \
        --seed "$3" --count "$count" --out "$folder/$1"
}
draw sim mnist 1 source
draw real metasim_mnist.gap:GapRenderer 2 target
draw more mnist 3 source
"$metasim" refine --method "$method" --sim "$folder/sim/images" --real "$folder/real/images" \
    --out "$folder/refiner" "$@"
"$metasim" refine --apply "$folder/refiner" --sim "$folder/more/images" --out "$folder/refined"
