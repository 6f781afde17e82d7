"""Build Nova's instance objects in memory from the project's JSON forms."""
# mypy: disable-error-code="import-not-found,import-untyped,attr-defined,misc"

import base64
import ipaddress
from typing import Any

import oracle_flavors

from nova import objects
from nova.network import model
from nova.objects import virt_device_metadata as devices
from nova.virt import hardware

Json = dict[str, Any]

BUSES = {
    "pci": devices.PCIDeviceBus,
    "usb": devices.USBDeviceBus,
    "scsi": devices.SCSIDeviceBus,
    "ide": devices.IDEDeviceBus,
    "xen": devices.XenDeviceBus,
}
DEVICES = {
    "nic": (devices.NetworkInterfaceMetadata, ("mac", "vlan", "vf_trusted", "tags")),
    "disk": (devices.DiskMetadata, ("serial", "path", "tags")),
    "share": (devices.ShareMetadata, ("share_id", "tag", "tags")),
}
# Nova numbers instances and images in a table of its database; a request may bring its own.
EC2_IDS = {"instance_id": "i-00000001", "ami_id": None, "kernel_id": None, "ramdisk_id": None}


def nova_instance(form: Json, cells: list[Json] | None, ec2: Json) -> Any:
    """Build the instance with all that the metadata API would load from the database."""
    keys = [_key_pair(form, key) for key in form.get("key_pairs", [])]
    return objects.Instance(
        uuid=form["uuid"],
        project_id=form["project_id"],
        display_name=form["name"],
        hostname=form.get("hostname", form["name"]),
        key_name=keys[0].name if keys else None,
        key_data=keys[0].public_key if keys else None,
        keypairs=objects.KeyPairList(objects=keys),
        metadata=form.get("meta", {}),
        system_metadata={},
        user_data=_user_data(form.get("user_data")),
        availability_zone=form.get("availability_zone"),
        launch_index=form.get("launch_index", 0),
        reservation_id=form.get("reservation_id"),
        root_device_name=form.get("root_device_name"),
        default_ephemeral_device=None,
        default_swap_device=None,
        flavor=oracle_flavors.nova_flavor(form["flavor"]),
        ec2_ids=objects.EC2Ids(**{**EC2_IDS, **ec2}),
        device_metadata=devices.InstanceDeviceMetadata(
            devices=[_device(device) for device in form.get("devices", [])]
        ),
        numa_topology=_topology(cells),
    )


def nova_network_info(form: Json) -> Any:
    """Build the network model, of which the metadata API reads the addresses alone."""
    addresses = form.get("addresses", [])
    fixed = [_vif(address) for address in addresses if not address.get("floating")]
    for address in addresses:
        if address.get("floating"):  # Nova keeps these below a fixed address, whichever it is
            floating = model.IP(address=address["ip"], type="floating")
            fixed[0].fixed_ips()[0].add_floating_ip(floating)
    return model.NetworkInfo(fixed)


def file_contents(form: Json) -> list[tuple[str, bytes]]:
    """Return the files that a guest is to find below `/openstack/content`."""
    return [(file["path"], _content(file["content"])) for file in form.get("files", [])]


def _key_pair(form: Json, key: Json) -> Any:
    return objects.KeyPair(
        user_id=form["project_id"],
        name=key["name"],
        type=key.get("type", "ssh"),
        public_key=key["public_key"],
    )


def _user_data(data: str | Json | None) -> str | None:
    """Return user data as Nova stores it: in Base64, whatever it is."""
    return None if data is None else base64.b64encode(_content(data)).decode()


def _content(content: str | Json) -> bytes:
    return content.encode() if isinstance(content, str) else base64.b64decode(content["base64"])


def _device(form: Json) -> Any:
    make, names = DEVICES[form["type"]]
    values = {name: form[name] for name in names if name in form}
    if "bus" in form:
        values["bus"] = _bus(form)
    return make(**values)


def _bus(form: Json) -> Any:
    address = {"address": form["address"]} if "address" in form else {}
    return BUSES[form["bus"]](**address)


def _topology(cells: list[Json] | None) -> Any:
    """Build the stored topology; like Nova, none for a guest without cells."""
    if not cells:
        return None
    return objects.InstanceNUMATopology(cells=[_cell(cell) for cell in cells])


def _cell(form: Json) -> Any:
    return objects.InstanceNUMACell(
        id=form["id"],
        cpuset=hardware.parse_cpu_spec(form["cpuset"]),
        pcpuset=hardware.parse_cpu_spec(form["pcpuset"]),
        memory=form["memory_mb"],
        pagesize=form.get("pagesize_kb"),
    )


def _vif(form: Json) -> Any:
    version = ipaddress.ip_address(form["ip"]).version
    subnet = model.Subnet(ips=[model.FixedIP(address=form["ip"])], version=version)
    network = model.Network(id=form["network"], subnets=[subnet])
    return model.VIF(id=form["network"], address=form.get("mac"), network=network)
