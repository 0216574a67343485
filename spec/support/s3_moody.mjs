// A stand-in for moods of S3 that a real server does not show on demand; answers as facts/services.md §6 says they look.
// Prints its port. Keys: …/busy: 503 SlowDown twice, then it works; …/broken: 500 twice, then it works;
// …/skew: 403 RequestTimeTooSkewed with a Date an hour behind.
import { createServer } from "node:http";

const seen = {};
const error = (code, message) => `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const key = request.url.replace(/.*\//, "").replace(/\?.*/, "");
    seen[key] = (seen[key] || 0) + 1;
    if (key === "skew") {
      response.sendDate = false;
      response.writeHead(403, { date: new Date(Date.now() - 3600e3).toUTCString() })
        .end(error("RequestTimeTooSkewed", "The difference is too large."));
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
