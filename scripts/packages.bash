# shellcheck shell=bash disable=SC2034
# The Debian packages that scripts/setup installs; README.md has the same lists. Whatever version the
# release has will do: nothing here depends on one.

# To run. cloud-init is unpacked, never installed: installed, it would take this machine for a new
# guest at its next boot, with new SSH host keys, users and host name. These are its libraries.
packages=(
    iproute2 mount python3
    python3-configobj python3-jinja2 python3-jsonpatch python3-jsonschema python3-netifaces
    python3-oauthlib python3-requests python3-serial python3-yaml
)
# Where no Python that is there can make virtual environments.
venv_packages=(python3-venv)

# libvirtd and its QEMU driver, without libvirt-daemon-system: that one would make users, start
# services and upgrade systemd. These have no maintainer scripts that do so; see tests/libvirt.
# A QEMU for each architecture that domains are made for (misc has the one of s390x).
libvirt_packages=(
    libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libxml2-utils
    qemu-efi-aarch64 qemu-system-arm qemu-system-misc qemu-system-ppc qemu-system-x86
)
# What makes the guests of tests/vm, when they are first needed, and their config drives.
vm_packages=(debian-archive-keyring dosfstools e2fsprogs genisoimage mmdebstrap mtools qemu-utils)
# For the guest tool's units and manual, and for the database of Open vSwitch, which its settings are
# put into. systemd makes a user, and is not started.
guest_packages=(groff-base openvswitch-common systemd)
# Unpacked into .cache, never installed: they would start services, or are for the boot of a machine.
# They read what the guest tool renders and what the server tells (udev has systemd-hwdb), or are guests.
unpacked_packages=(cloud-guest-utils ignition openvswitch-switch prometheus tuned udev)
# Where there is no Node with its npm, for a client of the metadata service.
node_packages=(nodejs npm)
# Database servers, which the tests start by themselves: see start_no_services in scripts/setup.
store_packages=(galera-4 mariadb-server openssl postgresql rsync)
# A browser that looks at the page, and a font for it.
browser_packages=(chromium fonts-dejavu-core)
# What Neutron puts in front of its metadata agent.
proxy_packages=(haproxy)
test_packages=("${libvirt_packages[@]}" "${vm_packages[@]}" "${guest_packages[@]}" "${store_packages[@]}"
	"${browser_packages[@]}" "${proxy_packages[@]}")
