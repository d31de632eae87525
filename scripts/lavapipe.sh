#!/usr/bin/env bash
# Fetches lavapipe 25, a Vulkan driver in software that has shader-f16 (SwiftShader has not), for the float16 tests and
# benchmarks: `bash scripts/lavapipe.sh`. It comes from Debian 12's backports by apt, is unpacked below node_modules/.cache
# and never installed: no root needed, and nothing else on the machine sees it. Does nothing when it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$PWD/node_modules/.cache/lavapipe
icd=$cache/icd.json

if [ -f "$icd" ]; then
  echo "already there"
  exit
fi
rm -rf "$cache"
mkdir -p "$cache"/{lists,archives}/partial "$cache/root"

# The mirror that this machine takes bookworm from has its backports too.
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
  awk '$1 == "bookworm" { print $2; exit }')
if [ -z "$mirror" ]; then
  echo "this machine takes no packages of Debian 12 (bookworm)" >&2
  exit 1
fi
{
  echo "deb $mirror bookworm main"
  echo "deb $mirror bookworm-backports main"
} >"$cache/sources.list"

apt=(apt-get -qq -o "Dir::Etc::SourceList=$cache/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$cache/lists" -o "Dir::Cache::Archives=$cache/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
  -o Debug::NoLocking=1 -o APT::Sandbox::User= -o APT::Update::Post-Invoke-Success= -o DPkg::Post-Invoke=)
"${apt[@]}" update
"${apt[@]}" install --yes --download-only --no-install-recommends -t bookworm-backports mesa-vulkan-drivers >/dev/null
for package in "$cache"/archives/*.deb; do dpkg -x "$package" "$cache/root"; done

# The driver's libraries beside each other: it finds the newer ones that it was built with before the machine's.
library=$(find "$cache/root" -name libvulkan_lvp.so)
sed "s|\"library_path\": *\"[^\"]*\"|\"library_path\": \"$library\"|" \
  "$(find "$cache/root" -name 'lvp_icd*.json')" >"$icd.unfinished"
rm -r "$cache"/{lists,archives}
mv "$icd.unfinished" "$icd"
echo "unpacked $library"
