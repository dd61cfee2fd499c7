#!/usr/bin/env bash
# Trains candidates for presets of video with motion, one stage per call. Each
# call resumes its stage, so that it survives an interruption at the cost of
# the steps since its last checkpoint.
#
#     KERAS_BACKEND=torch benchmarks/motion_presets.sh atari_tokenizer
#
# The stages, in order: atari_tokenizer, atari_generator,
# atari_frame_prediction and measure_atari; and the same for robot.
#
# Results are in $RUNS, by default runs/motion. More flags extend a stage, as in
# `atari_tokenizer --epochs=32`. The folder of the robot clips is $ROBOT; see
# robot_splits.py. benchmarks/motion.md has the measurements.
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
  --dtype=mixed_bfloat16 --learning_rate=0.006 --warmup_epochs=0.4
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

# The clips of each data set.
case $stage in
  *atari*)
    name=atari
    data=(--data_format=atari --games=$games)
    unseen=("${data[@]}" --seed=7 --num_computed_clips=400) unseen_split=train
    train_clips=(--num_computed_clips=4096) batches=125 ;;
  *robot*)
    name=robot
    data=(--data="$runs/robot_train.csv" --test_data="$runs/robot_test.csv"
      --data_format=csv)
    unseen=("${data[@]}" --seed=7) unseen_split=test
    train_clips=(--crop_scale=0.6,1 --horizontal_flip) batches=100
    .venv/bin/python benchmarks/robot_splits.py --output="$runs" \
      --data="${ROBOT:?set it to the folder of the robot clips}" ;;
  *) echo "There is no stage $stage." >&2; exit 1 ;;
esac

preset=$runs/${name}_tokenizer/preset
tokens=$runs/${name}_tokens

case $stage in
  *_tokenizer)
    train train-tokenizer $stage "${data[@]}" "${tokenizer[@]}" \
      "${train_clips[@]}" --steps_per_epoch=$batches --epochs=32 \
      --save_every_steps=50 "$@" ;;
  *_generator | *_frame_prediction)
    condition=(--num_condition_frames=4)
    options=(--recipe=small_data_generator --epochs=12 --warmup_epochs=0.5)
    if [[ $stage = *_frame_prediction ]]; then
      options=(--recipe=larp_l_long_frame_prediction --size=llama-abs-tiny
        --learning_rate=0.002 --num_condition_frames=4 --epochs=10
        --warmup_epochs=0.5)
    fi
    windows=()
    [ $name = atari ] || windows=(--frame_sampling=windows --include_flips)
    # Resumes if it is incomplete, and returns at once if it is complete.
    $larp tokenize --tokenizer="$preset" --output="$tokens" "${data[@]}" \
      --num_computed_clips=${CLIPS:-8192} "${windows[@]}" "${condition[@]}" \
      --batch_size=16
    train train-generator $stage --tokens="$tokens" "${options[@]}" \
      --dtype=mixed_bfloat16 --verbose=2 "$@" ;;
  measure_*)
    $larp evaluate reconstruction --output="$runs/$stage/reconstruction" \
      "${unseen[@]}" --tokenizer="$preset" --split=$unseen_split \
      --batch_size=16 "$@"
    if [ -d "$runs/${name}_generator/preset" ]; then
      $larp evaluate generation --output="$runs/$stage/generation" \
        "${unseen[@]}" --tokenizer="$preset" --num_clips=400 --batch_size=16 \
        --generator="$runs/${name}_generator/preset" --features=classes \
        --class_fidelity --motion_fidelity "$@"
    fi
    if [ -d "$runs/${name}_frame_prediction/preset" ]; then
      $larp evaluate frame-prediction --output="$runs/$stage/continuation" \
        "${unseen[@]}" --tokenizer="$preset" --num_clips=96 --batch_size=16 \
        --generator="$runs/${name}_frame_prediction/preset" \
        --features=random "$@"
    fi ;;
esac
