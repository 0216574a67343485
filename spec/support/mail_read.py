"""Reads a mail as its receiver does, with Python's email module, and prints it as JSON."""
import base64
import email
import email.policy
import json
import sys

with open(sys.argv[1], "rb") as file:
    message = email.message_from_binary_file(file, policy=email.policy.default)
text, html = message.get_body(("plain",)), message.get_body(("html",))
print(json.dumps({
    "headers": {name.lower(): str(value) for name, value in message.items()},
    "text": text.get_content() if text else None,
    "html": html.get_content() if html else None,
    "files": [{"name": part.get_filename(), "type": part.get_content_type(),
               "data": base64.b64encode(part.get_payload(decode=True)).decode()}
              for part in message.iter_attachments()],
    "defects": [str(defect) for part in message.walk() for defect in part.defects],
}))
