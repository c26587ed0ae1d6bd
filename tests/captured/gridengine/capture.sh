#!/usr/bin/env bash
# Writes what real Grid Engine commands answer into this folder: <case>.stdout, .stderr, .rc.
# Run as root on the test cluster (tests/cluster/gridengine.sh up); takes about a minute.
set -u
cd "$(dirname "$0")" || exit
. ../../cluster/env.sh
rm -f -- *.stdout *.stderr *.rc
set -a; . "$PYWPS_HPC_TEST_HOME/gridengine/env"; set +a
export LANG=C
out=$PYWPS_HPC_TEST_SHARED/capture-gridengine; install -d -m 0777 "$out"
as() { runuser -u "$PYWPS_HPC_TEST_USER" -- "$@"; }
stranger() { runuser -u "$PYWPS_HPC_TEST_OTHER_USER" -- "$@"; }
keep() { # case command...: stdin is passed on
  local case=$1; shift
  "$@" > "$case.stdout" 2> "$case.stderr"; echo $? > "$case.rc"
}
script() { # name body option...
  printf '#!/bin/bash\n#$ -N %s\n#$ -o :%s/%s.log\n#$ -j y\n#$ -wd /\n#$ -S /bin/bash\n#$ -r n\n#$ -notify\n' "$1" "$out" "$1"
  printf '#$ %s\n' "${@:3}"
  printf "trap '' USR1\n%s\n" "$2"
}
submit() { script "$@" | as qsub -terse | tail -1; }
queue() { keep "$1" as qstat -xml -u '$user' -s "${2:-prs}"; }
state() { qstat -u '*' -s prs | awk -v job="$1" '$1 == job { print $5 }'; }
until_state() { for _ in $(seq 150); do [[ $(state "$1") =~ ^($2)$ ]] && return; sleep 0.2; done; echo "$1 never $2" >&2; }
until_empty() { for _ in $(seq 150); do [ -z "$(qstat -u '*')" ] && return; sleep 0.2; done; echo "jobs are left" >&2; }
accounted() { for _ in $(seq 150); do qacct -j "$1" >/dev/null 2>&1 && return; sleep 0.2; done; echo "$1 not accounted" >&2; }
name=good$(date +%H%M%S) # accounting keeps those of earlier times
limit_jobs() { qconf -sconf | sed "s/^max_u_jobs .*/max_u_jobs $1/" > "$out/global"; qconf -Mconf "$out/global" >/dev/null; }

as qdel -u "$PYWPS_HPC_TEST_USER" >/dev/null
until_empty

# Submission
script a1 true '-h' | keep qsub_accepted as qsub -terse
script a1 true '-h' '-pe smp 2' '-pe smp 3' | keep qsub_with_warning as qsub -terse
script a1 true '-h' '-t 1-10:1' | keep qsub_array as qsub -terse
script a1 true '-q nowhere.q' | keep qsub_bad_queue as qsub -terse
script a1 true '-l nothing=1' | keep qsub_bad_resource as qsub -terse
script a1 true '-pe nothing 2' | keep qsub_bad_environment as qsub -terse
script a1 true '-l h_rt=soon' | keep qsub_bad_value as qsub -terse
script a1 true '-P nothing' | keep qsub_bad_project as qsub -terse
script a1 true '-frobnicate' | keep qsub_bad_option as qsub -terse
script 1a true | keep qsub_bad_name as qsub -terse
limit_jobs 1; script a1 true | keep qsub_too_many_jobs as qsub -terse; limit_jobs 0
host=$(qconf -ss)
qconf -ds "$host" >/dev/null
script a1 true | keep qsub_not_a_submit_host as qsub -terse; keep qdel_not_a_submit_host as qdel 1
qconf -as "$host" >/dev/null
queue qstat_waiting
as qdel -u "$PYWPS_HPC_TEST_USER" >/dev/null
until_empty
queue qstat_none

# One job in each state
waiting=$(submit a1 true '-a 12312359')
held=$(submit a1 true -h)
running=$(submit a1 'sleep 300' '-l h_rt=600,h_vmem=2G')
suspended=$(submit a1 'sleep 300')
queuesuspended=$(submit a1 'sleep 300')
array=$(submit a1 'sleep 300' '-t 1-2'); array=${array%%.*}
restarts=$(submit a1 "[ -e $out/once ] || { touch $out/once; sleep 300; }; sleep 25; exit 4" '-r y')
error=$(submit a1 true '-wd /nowhere')
good=$(submit $name true '-l h_rt=60,h_vmem=100M')
fails=$(submit a1 'exit 3')
signalled=$(submit a1 'kill -9 $$')
limit=$(submit a1 'sleep 300' '-l h_rt=2')
limit_ignored=$(submit a1 "trap '' USR2; while :; do sleep 0.2; done" '-l h_rt=2')
limit_heeded=$(submit a1 'trap "exit 5" USR2; while :; do sleep 0.2; done' '-l h_rt=2')
one="python3 -c 'import time; x = bytearray(60 * 2**20); time.sleep(20)'"
memory=$(submit a1 "for i in 1 2 3; do $one & done; wait" '-l h_vmem=100M')
cancelled=$(submit a1 'sleep 300')
heeded=$(submit a1 'trap "exit 5" USR2; while :; do sleep 0.2; done')
ignored=$(submit a1 "trap '' USR2; while :; do sleep 0.2; done")
forced=$(submit a1 'sleep 300')
again=$(submit a1 "[ -e $out/99 ] || { touch $out/99; exit 99; }; exit 6")
hundred=$(submit a1 'exit 100')
theirs=$(printf '#!/bin/bash\n#$ -N a1\n#$ -o /dev/null\n#$ -j y\nsleep 60\n' | stranger qsub -terse -h)
for job in $running $suspended $cancelled $heeded $ignored $forced $restarts; do until_state $job r; done
until_state $error Eqw; until_state $hundred Eqw
keep qmod_suspend as qmod -sj $suspended
keep qmod_suspend_again as qmod -sj $suspended
keep qmod_suspend_waiting as qmod -sj $waiting
keep qmod_resume_running as qmod -usj $running
keep qdel_running as qdel $cancelled $heeded $ignored
queue qstat_states
keep qdel_again as qdel $ignored
qdel -f $forced >/dev/null
as qhold $restarts >/dev/null; queue qstat_held_running; qmod -rj $restarts >/dev/null
until_state $restarts hRq; queue qstat_requeued_held
as qrls $restarts >/dev/null; queue qstat_requeued; until_state $restarts Rr; queue qstat_restarted
qmod -sq all.q >/dev/null; until_state $queuesuspended S; queue qstat_queue_suspended; qmod -usq all.q >/dev/null
for job in $good $fails $signalled $limit $limit_ignored $limit_heeded $memory $cancelled $heeded $ignored $forced $again; do accounted $job; done
until_state $restarts ''; accounted $restarts
for case in good fails signalled limit limit_ignored limit_heeded memory cancelled heeded ignored forced again hundred error restarts; do
  keep qacct_$case as qacct -j "${!case}"
done
keep qacct_by_name as qacct -j $name
keep qacct_unknown as qacct -j 9999999
keep qacct_unknown_name as qacct -j nosuchname
queue qstat_ended prsz
echo "name=$name waiting=$waiting held=$held running=$running suspended=$suspended queuesuspended=$queuesuspended array=$array \
restarts=$restarts error=$error good=$good fails=$fails signalled=$signalled limit=$limit limit_ignored=$limit_ignored limit_heeded=$limit_heeded \
memory=$memory cancelled=$cancelled heeded=$heeded ignored=$ignored forced=$forced again=$again hundred=$hundred \
theirs=$theirs" | tr ' ' '\n' > jobs.txt

# Control
keep qmod_resume as qmod -usj $suspended
keep qmod_unknown as qmod -sj 9999999
keep qmod_theirs as qmod -sj $theirs
keep qhold_waiting as qhold $waiting
keep qhold_again as qhold $waiting
keep qhold_mixed as qhold $fails 9999999 $running
keep qhold_theirs as qhold $theirs
keep qrls_held as qrls $held
keep qrls_again as qrls $held
keep qrls_theirs as qrls $theirs
keep qdel_waiting as qdel $waiting
keep qdel_unknown as qdel 9999999
keep qdel_mixed as qdel $fails $error $theirs
keep qdel_theirs as qdel $theirs
qdel $theirs >/dev/null

# Nobody answers
accounting=$SGE_ROOT/$SGE_CELL/common/accounting
chmod 600 "$accounting"; keep qacct_unreadable as qacct -j $good; chmod 644 "$accounting"
mkdir "$out/empty" "$out/empty/common"; cp "$SGE_ROOT/$SGE_CELL"/common/* "$out/empty/common/"; rm "$out/empty/common/accounting"
chmod -R a+rX "$out/empty"; ln -sfn "$out/empty" "$SGE_ROOT/empty"
SGE_CELL=empty keep qacct_no_file as qacct -j $good
rm "$SGE_ROOT/empty"
export SGE_QMASTER_PORT=1
queue qstat_server_down; script a1 true | keep qsub_server_down as qsub -terse
for command in qdel qhold qrls; do keep ${command}_server_down as $command $running; done
keep qmod_server_down as qmod -sj $running
export SGE_CELL=nowhere
queue qstat_no_cell; script a1 true | keep qsub_no_cell as qsub -terse; keep qacct_no_cell as qacct -j $good
set -a; . "$PYWPS_HPC_TEST_HOME/gridengine/env"; set +a
as qdel -u "$PYWPS_HPC_TEST_USER" >/dev/null
rm -r "$out"
