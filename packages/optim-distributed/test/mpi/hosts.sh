#!/usr/bin/env bash
# hosts.sh COMMAND…: runs a command on the first of two hosts, which are network namespaces of this machine with a wire between them.
# $AGENT is then what starts commands on the other one, as ssh does. Needs root and iproute2.
set -euo pipefail
name="optim-$$"
place=$(mktemp -d)
mkdir "$place/a" "$place/b"
trap 'ip netns del "$name-a" || true; ip netns del "$name-b" || true; rm -rf "$place"' EXIT
for host in a b; do
  ip netns add "$name-$host"
  ip -n "$name-$host" link set lo up
done
ip link add "veth-a" netns "$name-a" type veth peer name "veth-b" netns "$name-b"
ip -n "$name-a" addr add 10.77.0.1/24 dev veth-a
ip -n "$name-b" addr add 10.77.0.2/24 dev veth-b
ip -n "$name-a" link set veth-a up
ip -n "$name-b" link set veth-b up

# Each has a name and a folder for sessions of its own, or the launcher takes both for one machine.
cat >"$place/agent" <<AGENT
#!/usr/bin/env bash
shift
exec ip netns exec "$name-b" unshare --uts bash -c 'hostname host-b; TMPDIR="$place/b" exec bash -c "\$0"' "\$*"
AGENT
chmod +x "$place/agent"
export AGENT="$place/agent"
ip netns exec "$name-a" unshare --uts bash -c 'hostname host-a; TMPDIR="$0" exec "${@//AGENT/$AGENT}"' "$place/a" "$@"
