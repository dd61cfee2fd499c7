#!/usr/bin/env bash
# Trains candidates for presets of video with motion, one stage per call. Each
# call resumes its stage, so that it survives an interruption at the cost of
# the steps since its last checkpoint.
#
#     KERAS_BACKEND=torch benchmarks/motion_presets.sh atari_tokenizer
#     KERAS_BACKEND=torch benchmarks/motion_presets.sh atari_generator
#     KERAS_BACKEND=torch benchmarks/motion_presets.sh measure_atari
#     KERAS_BACKEND=torch benchmarks/motion_presets.sh robot_tokenizer
#
# Results are in $RUNS, by default runs/motion. More flags extend a stage, as in
# `... atari_tokenizer --epochs=32`. The robot data (a folder with a CSV file
# per split) are in $ROBOT. benchmarks/motion.md has the measurements.
set -euo pipefail
cd "$(dirname "$0")/.."
stage=${1:?the name of a stage is missing}
shift
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHONPATH=.
larp=.venv/bin/keras-larp
runs=${RUNS:-runs/motion}
games=boxing,breakout,enduro,freeway,pong,seaquest,skiing,space_invaders

# 16 frames of 64x64 in 128 tokens. Two heads of 96, because the backward pass
# of attention on CPUs takes time in proportion to the number of heads.
tokenizer=(--recipe=small_data_tokenizer --num_frames=16 --image_size=64
  --num_tokens=128 --codebook_size=1024 --hidden_dim=192 --num_heads=2
  --encoder_num_layers=4 --decoder_num_layers=4 --batch_size=16
  --codebook_reset_unused_after=100 --temperature=0.01
  --dtype=mixed_bfloat16 --learning_rate=0.015 --warmup_epochs=0.5
  --motion_loss_weight=10 --keep_in_memory --verbose=2)

train() {  # arguments: command, name of the run, flags
  local command=$1 run=$runs/$2
  shift 2
  if [ -f "$run/config.json" ]; then
    $larp "$command" --output="$run" --resume "$@"
  else
    $larp "$command" --output="$run" "$@"
  fi
}

case $stage in
  atari_tokenizer)
    train train-tokenizer atari_tokenizer --data_format=atari --games=$games \
      "${tokenizer[@]}" --num_computed_clips=4096 --steps_per_epoch=250 \
      --epochs=16 --save_every_steps=50 "$@" ;;
  *) echo "There is no stage $stage." >&2; exit 1 ;;
esac
