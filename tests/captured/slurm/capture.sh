#!/usr/bin/env bash
# Writes what real Slurm commands answer into this folder: <case>.stdout, .stderr, .rc.
# Run as root on the test cluster (tests/infra/up.sh); takes about seven minutes.
set -u
cd "$(dirname "$0")"
. ../../infra/env.sh
out=$PYWPS_HPC_TEST_SHARED/capture; install -d -m 0777 "$out"
conf=$SLURM_CONF
as() { runuser -u "$PYWPS_HPC_TEST_USER" -- "$@"; }
keep() { # case command...: stdin is passed on
  local case=$1; shift
  "$@" > "$case.stdout" 2> "$case.stderr"; echo $? > "$case.rc"
}
script() { printf '#!/bin/bash\n#SBATCH --chdir=/ --export=NONE --no-requeue --output=%s/%%j.log --time=5\n%s\n' "$out" "$1"; }
submit() { local body=$1; shift; script "$body" | as sbatch --parsable "$@"; }
queue() { keep "$1" as squeue --all --me --states=all '--format=pywps-hpc|%i|%T|%r|%j|end' "${@:2}"; }
account() { keep "$1" as sacct --allocations --parsable2 --format=JobID,State,ExitCode,ElapsedRaw,TimelimitRaw,Submit,JobName "${@:2}"; }
show() { keep "$1" as scontrol --oneliner show job "$2"; }
state() { squeue --noheader --states=all --format=%T --jobs="$1" 2>/dev/null; }
until_state() { for _ in $(seq 1800); do [[ $(state "$1") =~ ^($2)$ ]] && return; sleep 0.2; done; echo "$1 never $2" >&2; }

# Submission
script 'true' | keep sbatch_accepted as sbatch --parsable
script 'true' | keep sbatch_bad_partition as sbatch --parsable --partition=nowhere
script 'true' | keep sbatch_bad_account as sbatch --parsable --account=nobody
script 'true' | keep sbatch_bad_option as sbatch --parsable --frobnicate
script 'true' | keep sbatch_too_much_memory as sbatch --parsable --mem=900G
script 'true' | keep sbatch_too_many_cpus as sbatch --parsable --cpus-per-task=900
script 'true' | keep sbatch_bad_gres as sbatch --parsable --gres=gpu:4
script 'true' | keep sbatch_with_warning as sbatch --parsable --ntasks=2 --cpus-per-task=1 --ntasks-per-node=3 --nodes=1
echo 'no shebang' | keep sbatch_not_a_script as sbatch --parsable

# One job in each state
pending=$(submit 'sleep 300' --hold)
running=$(submit 'sleep 300')
stopped=$(submit 'sleep 300')
suspended=$(submit 'sleep 300')
hopeless=$(submit 'true' --partition=short --time=30)
nodes=$(submit 'true' --nodes=2 --begin=now+1hour)
fails=$(submit 'exit 3')
good=$(submit 'true')
signalled=$(submit 'kill -9 $$')
memory=$(submit 'x=$(head -c 400M /dev/zero | tr "\0" x); sleep 5' --mem=50M)
limit=$(submit 'sleep 300' --partition=short --time=1)
cancelled=$(submit 'sleep 300')
cannot=$(script 'true' | sed 's,/export=NONE,,' | as sbatch --parsable --output=/nowhere/at/all.log)
warned=$(submit 'sleep 600' --signal=B:TERM@30)
obeyed=$(submit 'trap "exit 143" TERM; sleep 600 & wait' --signal=B:TERM@30)
for job in $running $stopped $suspended $cancelled; do until_state $job RUNNING; done
keep scontrol_suspend_owner as scontrol suspend $suspended
keep scontrol_suspend_operator scontrol suspend $suspended
keep scancel_stop as scancel --signal=STOP --full $stopped
keep scontrol_resume_stopped_owner as scontrol resume $stopped
keep scontrol_resume_stopped_operator scontrol resume $stopped
keep scontrol_hold_running as scontrol hold $running
keep scontrol_suspend_pending_operator scontrol suspend $pending
keep scancel_running as scancel $cancelled
until_state $cancelled CANCELLED; until_state $fails FAILED; until_state $memory 'OUT_OF_MEMORY|FAILED'
until_state $stopped STOPPED; until_state $cannot 'FAILED|COMPLETED'
queue squeue_states
keep scontrol_release as scontrol release $running $pending
keep scontrol_hold_again as scontrol hold $pending
until_state $limit TIMEOUT
queue squeue_states_timeout
until_state $warned FAILED; until_state $obeyed FAILED
sleep 3
ended=$warned,$obeyed,$fails,$good,$signalled,$memory,$limit,$cancelled,$cannot,$running,$pending
account sacct_states --jobs=$ended
account sacct_by_name --starttime=now-30days --name=sbatch
account sacct_unknown --jobs=99999999
for case in warned obeyed fails good signalled memory limit cancelled cannot running pending stopped suspended; do
  show scontrol_$case "${!case}"
done
show scontrol_unknown 99999999
echo "pending=$pending running=$running stopped=$stopped suspended=$suspended hopeless=$hopeless \
fails=$fails good=$good signalled=$signalled memory=$memory limit=$limit cancelled=$cancelled \
cannot=$cannot warned=$warned obeyed=$obeyed" | tr ' ' '\n' > jobs.txt

# Control
keep scancel_unknown as scancel 99999999
keep scancel_ended as scancel $fails
keep scontrol_hold_unknown as scontrol hold 99999999
keep scontrol_hold_ended as scontrol hold $fails
keep scontrol_release_ended as scontrol release $fails
keep scontrol_suspend_ended as scontrol suspend $fails
keep scontrol_resume_running scontrol resume $running
theirs=$(printf '#!/bin/bash\n#SBATCH --chdir=/ --output=/dev/null\nsleep 60\n' | runuser -u "$PYWPS_HPC_TEST_OTHER_USER" -- sbatch --parsable --hold)
keep scancel_theirs as scancel $theirs
keep scontrol_hold_theirs as scontrol hold $theirs
keep scancel_mixed as scancel $fails 99999999 $theirs
scancel $theirs

# Nobody answers
mute=$out/mute.conf
sed 's/^SlurmctldPort=.*/SlurmctldPort=1/' "$conf" > "$mute"; chmod 644 "$mute"
export SLURM_CONF=$mute
queue squeue_server_down; show scontrol_server_down $good
keep scancel_server_down as scancel $good
keep scontrol_hold_server_down as scontrol hold $good
script true | keep sbatch_server_down as sbatch --parsable
sed 's/^AccountingStoragePort=.*/AccountingStoragePort=1/' "$conf" > "$mute"
account sacct_database_down --jobs=$good
sed 's/^AccountingStorageType=.*/AccountingStorageType=accounting_storage\/none/' "$conf" > "$mute"
account sacct_disabled --jobs=$good
export SLURM_CONF=/nowhere/slurm.conf
queue squeue_not_configured; script true | keep sbatch_not_configured as sbatch --parsable
export SLURM_CONF=$conf
queue squeue_by_name --name=sbatch
queue squeue_none --name=nosuchname
as scancel "$(cat sbatch_too_many_cpus.stdout)" $pending $running $stopped $suspended $hopeless $nodes
rm -r "$out"
