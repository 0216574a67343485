"""Swift's account, container, object and proxy servers in one process: what takes the time of their start is Python
reading modules, once here. Makes rings where there are none.

  swift_serve.py FOLDER PORT PORT PORT PORT     in that order; FOLDER has NAME.conf for each"""
import os
import sys

import swift.common.utils as utils

utils.eventlet_monkey_patch()
utils.HASH_PATH_SUFFIX = b"maru"  # else read from /etc/swift/swift.conf alone
utils.disable_fallocate()
os.environ["TZ"] = "UTC+0"
# It is killed here, but the machine does not fail: nothing has to be on the disk, for which all would wait.
utils.fsync = utils.fdatasync = utils.fsync_dir = os.fsync = os.fdatasync = lambda descriptor: None

import eventlet
import eventlet.wsgi
from swift.common import db, wsgi
from swift.common.ring import RingBuilder

NAMES = ["account", "container", "object", "proxy"]


connect = db.get_db_connection


def connect_fast(*given, **named):
    connection = connect(*given, **named)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


db.get_db_connection = connect_fast


def make_ring(folder, name, port):
    path = "%s/%s.ring.gz" % (folder, name)
    if not os.path.exists(path):
        builder = RingBuilder(4, 1, 1)
        builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1, "meta": "",
                         "replication_ip": "127.0.0.1", "replication_port": port})
        builder.rebalance()
        builder.get_ring().save(path)


def serve(folder, name, port):
    listener = eventlet.listen(("127.0.0.1", port), reuse_port=False)
    app = wsgi.loadapp("%s/%s.conf" % (folder, name), global_conf={"log_name": name})
    eventlet.wsgi.server(listener, app, utils.NullLogger(), custom_pool=eventlet.GreenPool(256),
                         protocol=wsgi.SwiftHttpProtocol, socket_timeout=60, capitalize_response_headers=False)


def main():
    folder, ports = sys.argv[1], [int(port) for port in sys.argv[2:]]
    for name, port in zip(NAMES[:3], ports):
        make_ring(folder, name, port)
    eventlet.hubs.use_hub(wsgi.get_hub())
    servers = [eventlet.spawn(serve, folder, name, port) for name, port in zip(NAMES, ports)]
    for server in servers:
        server.wait()


main()
