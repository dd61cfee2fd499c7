#!/usr/bin/env bash
# Evaluates a preset that comes with the package on unseen clips, and counts the
# tokens that differ from those of backends that were evaluated earlier. It takes
# minutes on two cores.
#
#     KERAS_BACKEND=jax benchmarks/measure_presets.sh larp_tiny_moving_shapes
#     KERAS_BACKEND=jax benchmarks/measure_presets.sh larp_small_atari
#
# Results are in runs/presets.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?the name of a bundled preset is missing}
larp=.venv/bin/keras-larp
output=runs/presets/$name-${KERAS_BACKEND:?set it to jax, tensorflow or torch}
case $name in
  larp_tiny_moving_shapes) format=moving_shapes count=480 ;;
  larp_small_atari) format=atari count=1040 ;;
  *) echo "There is no bundled preset $name." >&2; exit 1 ;;
esac
unseen=(--seed=7 --data_format=$format --num_computed_clips=$count)

$larp evaluate reconstruction --output="$output/reconstruction" \
  "${unseen[@]}" --batch_size=16 --tokenizer=${name}_tokenizer --split=train
for guidance in 1.25 2.5; do
  $larp evaluate generation --output="$output/generation_$guidance" \
    "${unseen[@]}" --batch_size=16 --tokenizer=${name}_tokenizer \
    --generator=${name}_generator --num_clips=$count \
    --guidance_scale=$guidance --class_fidelity --features=classes
done
if [ $name = larp_tiny_moving_shapes ]; then
  $larp evaluate frame-prediction --output="$output/continuation" --seed=7 \
    --tokenizer=${name}_tokenizer --generator=${name}_frame_prediction \
    --features=random
fi
.venv/bin/python benchmarks/preset_tokens.py --preset=${name}_tokenizer \
  --num_clips=$count
