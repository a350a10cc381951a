#!/bin/sh
# coldcase, portable. This script, then Deno's own executable, then the program. At its first start it unpacks
# both into a folder of its user, which is checked at each start; then it becomes the program (exec), so signals and
# exit codes are the program's. Needs a POSIX shell and coreutils, nothing from the environment.
#
# Is what lies in that folder what was unpacked? Digests are compared when it is unpacked, before it gets its name.
# Later starts do not read 100 MB again (60 ms with SHA instructions, 450 without): they ask whether anybody else
# could have written there. The folder is no link, belongs to this user, has mode 0700, and whoever may write to the
# folder above can't exchange it. Who gets past that has this user's rights, and could as well exchange this file.
# Against accidents: no part is missing, none was written since.
set -u

bytes=@TOTAL_BYTES@
id=@ID@
parts=@PARTS@

fail() { # MESSAGE HINT
  printf 'coldcase: error: %s\ncoldcase: hint: %s\n' "$1" "$2" >&2
  exit 15
}

case $0 in
/*) self=$0 ;;
*/*) self=$PWD/${0#./} ;;
*) if [ -f "$0" ]; then self=$PWD/$0; else self=$(command -v -- "$0"); fi ;;
esac
uid=$(command -p id -u)

# Of a folder: mode and owner, as `ls` has them everywhere; `stat` differs from system to system.
mode= owner=
look() { # FOLDER
  set -f
  set -- $(LC_ALL=C command -p ls -ldn -- "$1" 2>/dev/null)
  set +f
  mode=${1-} owner=${3-}
}

is_private() { # FOLDER
  look "$1"
  case $mode in drwx------*) [ "$owner" = "$uid" ] ;; *) false ;; esac
}

# Anybody may write there, and take away what is others': not a place to keep a program in.
is_open() { # FOLDER
  look "$1/."
  case $mode in ????????w[tT]*) false ;; ????????w*) true ;; *) false ;; esac
}

is_intact() { # FOLDER
  [ -f "$1/complete" ] || return 1
  count=0
  for part in "$1/coldcase" "$1"/program/*; do
    [ -f "$part" ] || return 1
    if [ "$part" -nt "$1/complete" ]; then return 1; fi
    count=$((count + 1))
  done
  [ "$count" -eq "$parts" ]
}

refused=
refuse() { # FOLDER REASON
  refused="${refused}coldcase: hint: $1 $2
"
  return 1
}

part() { # FIRST_BYTE BYTES FILE
  command -p tail -c "+$1" -- "$self" | command -p head -c "$2" >"$3"
}

new=
clean_up() {
  if [ -n "$new" ]; then command -p rm -rf -- "$new"; fi
  new=
}

unpack() { # FOLDER
  [ "$(command -p wc -c <"$self")" -eq "$bytes" ] ||
    fail "Cannot start: $self is damaged or cut off, expected $bytes bytes" "copy it again, and compare its SHA-256"
  new=$(umask 077 && command -p mktemp -d "$1/.new.XXXXXXXXXX" 2>/dev/null) ||
    { refuse "$1" "cannot be written"; return 1; }
  printf '#!/bin/sh\nexit 0\n' >"$new/probe" && command -p chmod 700 "$new/probe"
  "$new/probe" 2>/dev/null || { clean_up; refuse "$1" "may not hold programs (noexec)"; return 1; }
  printf 'coldcase: unpacks itself into %s, once\n' "$home" >&2
  part @RUNTIME_AT@ @RUNTIME_BYTES@ "$new/coldcase" && part @UNPACKER_AT@ @UNPACKER_BYTES@ "$new/unpack.ts" &&
    part @PROGRAM_AT@ @PROGRAM_BYTES@ "$new/program.json" && command -p chmod 500 "$new/coldcase" ||
    { clean_up; refuse "$1" "has no room"; return 1; }
  HOME=$new DENO_DIR=$new/deno-dir "$new/coldcase" run --quiet @ISOLATION@ --no-prompt --allow-read --allow-write \
    "$new/unpack.ts" "$new" "$home" @RUNTIME_SHA256@ @PROGRAM_SHA256@ </dev/null
  code=$?
  clean_up
  case $code in
  0) ;;
  3) fail "Cannot start: $self is damaged" "copy it again, and compare its SHA-256" ;;
  *) refuse "$1" "could not be unpacked to (exit code $code)" ;;
  esac
}

# Leaves `home`, or says why not.
use() { # FOLDER NAME
  case $1 in /*) ;; *) return 1 ;; esac
  [ -d "$1" ] || (umask 077 && command -p mkdir -p -- "$1") 2>/dev/null ||
    { refuse "$1" "cannot be made"; return 1; }
  if is_open "$1"; then refuse "$1" "can be written by anybody"; return 1; fi
  (umask 077 && command -p mkdir -- "$1/$2") 2>/dev/null
  [ -d "$1/$2" ] || { refuse "$1" "cannot be written"; return 1; }
  is_private "$1/$2" || { refuse "$1/$2" "is not this user's alone (mode 0700)"; return 1; }
  home=$1/$2/$id
  is_intact "$home" || unpack "$1/$2"
}

trap clean_up EXIT
trap 'exit 130' INT TERM HUP
home=
if [ -n "${COLDCASE_CACHE-}" ]; then
  case $COLDCASE_CACHE in /*) ;; *) COLDCASE_CACHE=$PWD/$COLDCASE_CACHE ;; esac
  use "$COLDCASE_CACHE" coldcase
else
  use "${XDG_CACHE_HOME-}" coldcase || { [ -n "${HOME-}" ] && use "$HOME/.cache" coldcase; } ||
    use "${TMPDIR-}" "coldcase-$uid" || use /tmp "coldcase-$uid" || use /var/tmp "coldcase-$uid" ||
    use /dev/shm "coldcase-$uid"
fi || {
  printf '%s' "$refused" >&2
  fail "Cannot start: there is no folder to unpack into, expected one with $((bytes / 1000000)) MB of room for this user alone" \
    "name one: COLDCASE_CACHE=DIR"
}
trap - EXIT INT TERM HUP

# Deno asks for ~/.npmrc, needs nothing in it, and does not start where it may not look: in a home that `su` left over.
if [ -n "${HOME-}" ]; then
  if [ -e "$HOME/.npmrc" ]; then
    [ -f "$HOME/.npmrc" ] && [ -r "$HOME/.npmrc" ]
  else
    [ ! -e "$HOME" ] || [ -x "$HOME/." ]
  fi || unset HOME
fi

# DENO_DIR: compiled code is kept between starts, in the same private folder. No start asks for updates.
export DENO_DIR="$home/deno-dir" DENO_NO_UPDATE_CHECK=1 @EXECUTABLE_VARIABLE@="$self"
exec "$home/coldcase" run --quiet @ISOLATION@ @PERMISSIONS@ "$home/program/main.js" "$@"
