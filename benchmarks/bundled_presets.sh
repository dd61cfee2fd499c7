#!/usr/bin/env bash
# Trains and evaluates the presets that come with the package. It takes about
# four hours on two cores. Completed steps are not repeated.
#
#     KERAS_BACKEND=torch benchmarks/bundled_presets.sh
#
# Results are in runs/presets; the presets and model cards of the package are
# in keras_larp/presets/bundled.
set -euo pipefail
cd "$(dirname "$0")/.."
larp=.venv/bin/keras-larp
runs=runs/presets
bundled=keras_larp/presets/bundled

bundle() {  # arguments: run, path of the preset
  rm -rf "$bundled/$2"
  $larp convert --preset="$runs/$1/preset" --output="$bundled/$2" \
    --weights_dtype=float16 --dtype=float32
}

resume() {  # argument: a run, which an earlier call may have started
  [ ! -f "$runs/$1/config.json" ] || echo --resume
}

# Moving shapes.
if [ ! -d $runs/tokenizer/preset ]; then
  $larp train-tokenizer --output=$runs/tokenizer $(resume tokenizer) --verbose=2 \
    --recipe=small_data_tokenizer --num_frames=16 --num_tokens=64 \
    --hidden_dim=128 --encoder_num_layers=3 --decoder_num_layers=3 \
    --decoder_patch_size=4,4,8 --batch_size=64 --dtype=mixed_bfloat16 \
    --codebook_reset_unused_after=100 --temperature=0.01 \
    --num_computed_clips=65536 --keep_in_memory --steps_per_epoch=500 \
    --epochs=14 --learning_rate=0.015 --warmup_epochs=0.2
fi
if [ ! -d $runs/generator/preset ]; then
  $larp tokenize --tokenizer=$runs/tokenizer/preset --output=$runs/tokens \
    --num_computed_clips=16384 --num_condition_frames=4 --batch_size=64
  $larp train-generator --tokens=$runs/tokens --output=$runs/generator \
    --recipe=small_data_generator --dtype=mixed_bfloat16 --epochs=10 \
    $(resume generator) --verbose=2
fi
if [ ! -d $runs/frame_prediction/preset ]; then
  $larp train-generator --tokens=$runs/tokens --output=$runs/frame_prediction \
    --recipe=larp_l_long_frame_prediction --size=llama-abs-tiny \
    --dtype=mixed_bfloat16 --learning_rate=0.002 --num_condition_frames=4 \
    --epochs=10 --warmup_epochs=0.5 $(resume frame_prediction) --verbose=2
fi

for model in tokenizer generator frame_prediction; do
  bundle $model larp_tiny_moving_shapes/$model
done

benchmarks/measure_presets.sh larp_tiny_moving_shapes

# Atari games.
if [ ! -d $runs/atari_tokenizer/preset ]; then
  $larp train-tokenizer --output=$runs/atari_tokenizer $(resume atari_tokenizer) \
    --verbose=2 \
    --data_format=atari --recipe=small_data_tokenizer --num_frames=16 \
    --image_size=64 --num_tokens=64 --codebook_size=1024 --hidden_dim=128 \
    --encoder_num_layers=3 --decoder_num_layers=3 --batch_size=32 \
    --codebook_reset_unused_after=100 --temperature=0.01 --dtype=mixed_bfloat16 \
    --num_computed_clips=24576 --keep_in_memory --steps_per_epoch=250 \
    --epochs=12 --learning_rate=0.015 --warmup_epochs=0.4
fi
if [ ! -d $runs/atari_generator/preset ]; then
  $larp tokenize --tokenizer=$runs/atari_tokenizer/preset \
    --output=$runs/atari_tokens --data_format=atari \
    --num_computed_clips=16384 --batch_size=64
  $larp train-generator --tokens=$runs/atari_tokens \
    --output=$runs/atari_generator --recipe=small_data_generator \
    --dtype=mixed_bfloat16 --epochs=12 --warmup_epochs=0.5 --verbose=2 \
    $(resume atari_generator)
fi
for model in tokenizer generator; do
  bundle atari_$model larp_small_atari/$model
done

benchmarks/measure_presets.sh larp_small_atari
