// A stand-in for moods of S3 that a real server does not show on demand; answers as facts/services.md §6 says they look.
// Prints its port. Keys: …/busy: 503 SlowDown twice, then it works; …/broken: 500 twice, then it works;
// …/skew: 403 RequestTimeTooSkewed with a Date an hour behind; …/denied: 403 AccessDenied; …/silent: never.
// Of plugin o there are six unfinished uploads, told of two at a time and at length; the one of …/young has just begun.
// Of plugin a it tells the same page again and again.
import { createServer } from "node:http";

const seen = {};
const error = (code, message) => `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;

let uploads = ["a b", "c", "c", "d&e", "young", "z"].map((key, i) => ({ key: `o/${key}`, id: `id&${i}` }));
const escape = (text) => text.replaceAll("&", "&amp;");

function listed(query) {
  const [key, id] = [query.get("key-marker") ?? "", query.get("upload-id-marker") ?? ""];
  if (query.get("prefix") === "a/")
    return `<R><IsTruncated>true</IsTruncated><Upload><Key>a/young</Key><UploadId>1</UploadId><Initiated>${
      new Date().toISOString()}</Initiated></Upload></R>`;
  const left = uploads.filter((u) => u.key.startsWith(query.get("prefix")) && (u.key > key || (u.key === key && u.id > id)));
  const at = (u) => (u.key === "o/young" ? new Date() : new Date(Date.now() - 7 * 86400e3)).toISOString();
  return `<?xml version="1.0"?><ListMultipartUploadsResult><IsTruncated>${left.length > 2}</IsTruncated>${left.slice(0, 2)
    .map((u) => `<Upload><Key>${encodeURIComponent(u.key)}</Key><UploadId>${escape(u.id)}</UploadId>` +
      `<Initiator><ID>${"x".repeat(600000)}</ID></Initiator><Initiated>${at(u)}</Initiated></Upload>`).join("")}</ListMultipartUploadsResult>`;
}

function aborted(path, id) {
  const before = uploads.length;
  uploads = uploads.filter((u) => !(path === `/b/${u.key}` && u.id === id));
  return uploads.length < before;
}

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const key = request.url.replace(/.*\//, "").replace(/\?.*/, "");
    const { pathname, searchParams } = new URL(request.url, "http://s3");
    if (searchParams.has("uploads")) {
      response.writeHead(200).end(listed(searchParams));
      return;
    }
    if (request.method === "DELETE" && searchParams.has("uploadId")) {
      response.writeHead(aborted(decodeURIComponent(pathname), searchParams.get("uploadId")) ? 204 : 404).end();
      return;
    }
    seen[key] = (seen[key] || 0) + 1;
    if (key === "skew") {
      response.sendDate = false;
      response.writeHead(403, { date: new Date(Date.now() - 3600e3).toUTCString() })
        .end(error("RequestTimeTooSkewed", "The difference is too large."));
    } else if (key === "denied") {
      response.writeHead(403).end(error("AccessDenied", "User: arn:aws:iam::42:user/maru is not authorized."));
    } else if (key === "silent") {
      return;
    } else if (key === "busy" && seen[key] <= 2) {
      response.writeHead(503).end(error("SlowDown", "Please reduce your request rate."));
    } else if (key === "broken" && seen[key] <= 2) {
      response.writeHead(500).end(error("InternalError", "We encountered an internal error."));
    } else {
      response.writeHead(200, { etag: `"${seen[key]}"` }).end();
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
