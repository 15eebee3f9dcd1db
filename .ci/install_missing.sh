# shellcheck shell=bash
# Sourced by examples/quick_start.sh and tests/run.sh: installs what a command needs and the machine lacks.
#
#   install_missing g++ libeigen3-dev=eigen3/Eigen/Core libclang-rt-dev=can_sanitize gnuplot-nox=gnuplot?
#
# Each word is a Debian package, then how to tell that what it brings is there already, wherever that came from:
#
#   =name.h, =folder/name    a header
#   =can_something           a shell function of the caller that succeeds
#   =name, or nothing        a command, by default of the package's name
#
# A package for another processor is written name:arm64; only Debian's own mirrors are sure to have it.
# A closing `?` marks what is only nice to have: it is installed along with the rest, but its absence stops nobody.
# Packages come through apt-get, as root or with sudo; where that is impossible, one message says what to install.

has_header() {
  local prefix
  for prefix in ${CMAKE_PREFIX_PATH:+${CMAKE_PREFIX_PATH//[:;]/ }} /usr /usr/local /opt/homebrew /opt/local; do
    # Debian keeps some headers in a folder named after the processor, such as x86_64-linux-gnu.
    if compgen -G "$prefix/include/$1" >/dev/null || compgen -G "$prefix/include/*-linux-*/$1" >/dev/null; then
      return 0
    fi
  done
  return 1
}

is_there() {
  case $1 in
    can_*) "$1" >/dev/null 2>&1 ;;
    */* | *.h) has_header "$1" ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

on_debian() { grep -qx ID=debian /etc/os-release 2>/dev/null; }

# What turns CMake's output into programs.
can_build() { command -v ninja || command -v make; }

install_missing() {
  local word package needed=() wanted=()
  for word in "$@"; do
    package=${word%\?}
    is_there "${package#*=}" && continue
    package=${package%%=*}
    wanted+=("$package")
    [[ $word == *\? ]] || needed+=("$package")
  done
  if [[ ${#wanted[@]} -eq 0 ]]; then return 0; fi

  local as_root=() can_install=yes
  if ! command -v apt-get >/dev/null 2>&1 || { [[ "${wanted[*]}" == *:* ]] && ! on_debian; }; then
    can_install=
  elif [[ $(id -u) -ne 0 ]]; then
    # A password is asked for only where somebody can type it.
    if [[ -t 0 ]]; then as_root=(sudo); else as_root=(sudo -n); fi
    "${as_root[@]}" true 2>/dev/null || can_install=
  fi

  if [[ $can_install ]]; then
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    echo "-- installing ${wanted[*]}"
    for package in "${wanted[@]}"; do
      if [[ $package == *:* ]]; then "${as_root[@]}" dpkg --add-architecture "${package#*:}"; fi
    done
    "${apt[@]}" update || echo "-- apt-get update failed; going on with the lists there are" >&2
    # dpkg tells a line or two per package; they matter only if it fails.
    local log
    log=$(mktemp)
    if "${apt[@]}" install -y --no-install-recommends "${wanted[@]}" </dev/null >"$log" 2>&1; then
      rm -f "$log"
      return 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
  fi

  if [[ ${#needed[@]} -eq 0 ]]; then return 0; fi
  echo "Please install what these Debian packages hold, then run the command again: ${needed[*]}" >&2
  if [[ ! $can_install ]]; then echo "(There is no apt-get here that has them, or no right to use it.)" >&2; fi
  return 1
}
