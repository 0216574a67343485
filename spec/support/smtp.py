"""A real SMTP server (aiosmtpd) that keeps what it gets and refuses what it is told to.

    python3 smtp.py DIR [--starttls] [--login]

DIR/port: where it listens. DIR/mails/N.eml and N.json (envelope). Recipients: later@… gets 451, once@… the first time,
never@… gets 550, all others are taken. A subject with "full" gets 552 behind the data.
"""
import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import AuthResult, SMTP

folder = sys.argv[1]
os.makedirs(folder + "/mails", exist_ok=True)


class Keeper:
    count = 0
    seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("once@") and address not in self.seen:
            self.seen.add(address)
            return "450 4.2.0 greylisted, try again"
        if address.startswith("later@"):
            return "451 4.2.1 mailbox busy, try later"
        if address.startswith("never@"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if b"Subject: full" in envelope.content:
            return "552 5.2.2 mailbox full"
        Keeper.count += 1
        name = f"{folder}/mails/{Keeper.count}"
        with open(name + ".eml", "wb") as file:
            file.write(envelope.original_content)
        with open(name + ".json.new", "w") as file:
            json.dump({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
                       "user": session.auth_data}, file)
        os.rename(name + ".json.new", name + ".json")
        return "250 2.0.0 kept"


def check(server, session, envelope, mechanism, data):
    ok = data.login == b"maru" and data.password == b"s3cret"
    return AuthResult(success=ok, handled=False, auth_data=data.login.decode() if ok else None)


options = {"hostname": "127.0.0.1", "port": 0}
if "--starttls" in sys.argv:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    options["tls_context"] = context
if "--login" in sys.argv:
    options.update(authenticator=check, auth_required=True, auth_require_tls="--starttls" in sys.argv)


async def main():
    loop = asyncio.get_running_loop()
    wanted = {key: value for key, value in options.items() if key not in ("hostname", "port")}
    server = await loop.create_server(lambda: SMTP(Keeper(), **wanted), options["hostname"], 0)
    with open(folder + "/port.new", "w") as file:
        file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(folder + "/port.new", folder + "/port")
    await server.serve_forever()


asyncio.run(main())
