#!/usr/bin/env bash
# Trains the presets that come with the package and measures them. About an
# hour and a half on two cores; a step that is done is not done again.
#
#     KERAS_BACKEND=torch benchmarks/bundled_presets.sh
#
# Results are in runs/presets; model cards and files of the package are in
# keras_larp/presets/bundled.
set -euo pipefail
cd "$(dirname "$0")/.."
larp=.venv/bin/keras-larp
runs=runs/presets
target=keras_larp/presets/bundled/larp_tiny_moving_shapes

if [ ! -d $runs/tokenizer/preset ]; then
  $larp train-tokenizer --output=$runs/tokenizer --resume --verbose=2 \
    --recipe=small_data_tokenizer --num_frames=16 --num_tokens=32 \
    --hidden_dim=128 --encoder_layers=3 --decoder_layers=3 --batch_size=32 \
    --codebook_restart_after=100 --temperature=0.01 \
    --num_computed_clips=65536 --steps_per_epoch=500 --epochs=10 \
    --learning_rate=0.015 --warmup_epochs=0.2
fi
if [ ! -d $runs/generator/preset ]; then
  $larp tokenize --tokenizer=$runs/tokenizer/preset --output=$runs/tokens \
    --num_computed_clips=16384 --num_condition_frames=4 --batch_size=64
  $larp train-generator --tokens=$runs/tokens --output=$runs/generator \
    --recipe=small_data_generator --epochs=10 --warmup_epochs=0.5 \
    --resume --verbose=2
fi
if [ ! -d $runs/frame_prediction/preset ]; then
  $larp train-generator --tokens=$runs/tokens --output=$runs/frame_prediction \
    --recipe=larp_l_long_frame_prediction --size=llama-abs-tiny \
    --dtype=float32 --learning_rate=0.002 --num_condition_frames=4 \
    --epochs=10 --warmup_epochs=0.5 --resume --verbose=2
fi

for model in tokenizer generator frame_prediction; do
  rm -rf $target/$model
  $larp convert --preset=$runs/$model/preset --output=$target/$model \
    --weights_dtype=float16
done

# Clips of a seed that training did not have.
name=larp_tiny_moving_shapes
unseen="--seed=7 --num_computed_clips=480"
$larp evaluate reconstruction --output=$runs/reconstruction $unseen \
  --tokenizer=${name}_tokenizer --split=train
for guidance in 1.25 2.5; do
  $larp evaluate generation --output=$runs/generation_$guidance $unseen \
    --tokenizer=${name}_tokenizer --generator=${name}_generator \
    --num_clips=480 --guidance_scale=$guidance --class_fidelity \
    --features=classes
done
$larp evaluate frame-prediction --output=$runs/continuation --seed=7 \
  --tokenizer=${name}_tokenizer --generator=${name}_frame_prediction \
  --features=random
