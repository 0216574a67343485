"""Stands in for OpenAI's chat completions and embeddings, and for what llama.cpp, vLLM and Ollama do differently.

No model runs here, and no such server can be had without weights: the answers are those of ../shared/evidence/openai
(the official SDK against a recorded server) and ../shared/facts/services.md, chapter 4. The request's "model" names what
happens. Every request is noted, one line of JSON each: { at, path, key, body }.

    openai.py LOG    prints "ready PORT"
"""
import email.utils, http.server, json, os, socket, struct, sys, threading, time

lock, tries = threading.Lock(), {}
USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


def count(name):
    with lock:
        tries[name] = tries.get(name, 0) + 1
        return tries[name]


def answer(message, finish="stop", **more):
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "stand-in-1", "usage": USAGE,
             "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]}
    whole.update(more)
    return {key: value for key, value in whole.items() if value is not Ellipsis}


def said(text, finish="stop", **more):
    return answer({"role": "assistant", "content": text, "refusal": None}, finish, **more)


def called(name, arguments, id="call_1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def error(message, type="invalid_request_error", code=None, param=None):
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def data(value):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def chunk(delta, finish=None, **more):
    return data(dict({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stand-in-1",
                      "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}, **more))


USAGE_CHUNK = data({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
ROLE, DONE = chunk({"role": "assistant", "content": ""}), b"data: [DONE]\n\n"
PLAIN = [ROLE, chunk({"content": "he"}), chunk({"content": "llo"}), chunk({}, "stop"), USAGE_CHUNK, DONE]
KOREAN = chunk({"content": "한국어"})


def piece(**more):
    return chunk({"tool_calls": [more]})


# Name of the model -> pieces of its stream; a number is a pause, RESET ends the connection by a reset.
RESET = object()
STREAMS = {
    "plain": PLAIN,
    "crlf": [b": ping\r\n\r\n" + KOREAN.replace(b"\n", b"\r\n")[:30], 0.02, KOREAN.replace(b"\n", b"\r\n")[30:], 0.02,
             chunk({}, "stop").replace(b"\n", b"\r\n") + DONE.replace(b"\n", b"\r\n")],
    "torn": [bytes([b]) for b in ROLE + KOREAN + chunk({}, "stop") + USAGE_CHUNK + DONE],
    "packed": [b"".join(PLAIN)],
    "keepalive": [ROLE, b": ping\n\n", 0.15, b": ping\n\n", 0.15, b": ping\n\n", 0.15, chunk({"content": "late"}),
                  chunk({}, "stop"), DONE],
    "tools": None,  # below
    "error": [ROLE, chunk({"content": "he"}), data(error("boom", "server_error"))],
    "error-first": [data(error("boom", "server_error"))],
    "cut": [ROLE, chunk({"content": "he"})],
    "cut-first": [ROLE],
    "reset": [ROLE, chunk({"content": "he"}), 0.05, RESET],
    "no-done": [ROLE, chunk({"content": "whole"}), chunk({}, "stop")],
    "no-finish": [ROLE, chunk({"content": "whole"}), DONE],
    "finish-with-text": [chunk({"content": "whole"}, "stop"), DONE],
    "reset-behind": [ROLE, chunk({"content": "whole"}), chunk({}, "stop"), 0.05, RESET],
    "no-usage": [ROLE, chunk({"content": "abcdef"}), chunk({}, "stop"), DONE],
    "continuous": [chunk({"content": "a"}, usage={"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}),
                   chunk({"content": "b"}, "stop", usage=USAGE), DONE],
    "thinks": [chunk({"reasoning_content": "hm"}), chunk({"content": "a"}), chunk({}, "stop"), DONE],
    "frozen": [ROLE, chunk({"content": "he"}), 30],
    "frozen-first": [30],
    "slow-first": [0.6, *PLAIN],
    "odd-piece": [ROLE, chunk({"content": "he"}), chunk({"tool_calls": [True]})],
    "garbage": [ROLE, b"data: {nonsense\n\n"],
}


def stream_tools(body):
    if body["messages"][-1]["role"] == "tool":
        return [ROLE, chunk({"content": "got " + body["messages"][-1]["content"]}), chunk({}, "stop"), USAGE_CHUNK, DONE]
    return [chunk({"role": "assistant", "content": None,
                   "tool_calls": [dict(called("f", ""), index=0)]}),
            piece(index=0, function={"arguments": "{\"a\":"}), piece(index=1, id="call_2", type="function",
            function={"name": "f", "arguments": "{\"a\":"}), piece(index=0, function={"arguments": "1}"}),
            piece(index=1, function={"arguments": "2}"}), chunk({}, "tool_calls"), USAGE_CHUNK, DONE]


def text_of(body):
    return " / ".join(m["content"] for m in body["messages"] if isinstance(m.get("content"), str))


def with_tools(body, call, finish="tool_calls"):
    last = body["messages"][-1]
    if last["role"] == "tool":
        return said("got " + last["content"])
    return answer({"role": "assistant", "content": None, "tool_calls": [call]}, finish)


# Name of the model -> (status, headers, JSON or text)
def whole(name, body):
    n = count(name)
    ok = (200, {}, said("hi"))
    if name == "echo":
        return 200, {}, said(text_of(body))
    if name == "seconds":
        return (429, {"retry-after": "1"}, error("slow down", "requests", "rate_limit_exceeded")) if n == 1 else ok
    if name == "ms":
        return (429, {"retry-after-ms": "50"}, error("slow down", "tokens", "rate_limit_exceeded")) if n == 1 else ok
    if name == "date":
        at = email.utils.formatdate(time.time() + 1, usegmt=True)
        return (503, {"retry-after": at}, error("overloaded", "server_error")) if n == 1 else ok
    if name == "far":
        return (429, {"retry-after": "3600"}, error("slow down", "requests", "rate_limit_exceeded")) if n == 1 else ok
    if name == "once-503":
        return (503, {}, "<html>") if n == 1 else ok
    if name == "once-409":
        return (409, {}, error("conflict")) if n == 1 else ok
    if name == "always-500":
        return 500, {"retry-after-ms": "5"}, "<html>"
    if name == "no-retry":
        return 503, {"x-should-retry": "false"}, error("no", "server_error")
    if name == "do-retry":
        return (400, {"x-should-retry": "true", "retry-after-ms": "1"}, error("once more")) if n == 1 else ok
    if name == "quota":
        return 429, {"x-should-retry": "false"}, error("You exceeded your current quota", "insufficient_quota",
                                                       "insufficient_quota")
    if name == "bad":
        return 400, {}, error("bad", param="messages")
    if name == "wants-completion":
        return ok if "max_tokens" not in body else (400, {}, error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            code="unsupported_parameter", param="max_tokens"))
    if name == "vllm-401":
        return 401, {}, {"error": "Unauthorized"}
    if name == "llama-503":
        return 503, {}, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    if name == "vllm-old":
        return 400, {}, {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400}
    if name == "detail":
        return 422, {}, {"detail": [{"loc": ["body"], "msg": "field required"}]}
    if name == "error-200":
        return 200, {"retry-after-ms": "5"}, error("went wrong", "server_error")
    if name == "no-json":
        return 200, {}, "<html>welcome</html>"
    if name == "no-usage":
        return 200, {}, said("abcdef", usage=Ellipsis)
    if name == "null-usage":
        return 200, {}, said("abcdef", usage=None)
    if name == "odd-usage":
        return 200, {}, said("abcdef", usage={"prompt_tokens": 1e300, "completion_tokens": -4})
    if name == "odd-calls":
        return 200, {}, answer({"role": "assistant", "content": None, "tool_calls": 7})
    if name == "cached":
        return 200, {}, said("hi", usage=dict(USAGE, prompt_tokens_details={"cached_tokens": 8}))
    if name == "parts":
        return 200, {}, answer({"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})
    if name == "null":
        return 200, {}, answer({"role": "assistant", "content": None}, None)
    if name == "eos":
        return 200, {}, said("hi", "eos")
    if name == "length":
        return 200, {}, said("{\"a\":", "length")
    if name == "refuses":
        return 200, {}, answer({"role": "assistant", "content": None, "refusal": "I will not"})
    if name == "filter":
        return 200, {}, said("", "content_filter")
    if name == "tools":
        return 200, {}, with_tools(body, called("f", "{\"a\":1}"))
    if name == "ollama-tools":  # no id, an object in the place of its text, finish_reason stop
        return 200, {}, with_tools(body, {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}, "stop")
    if name == "old-function":
        last = body["messages"][-1]
        return 200, {}, said("got " + last["content"]) if last["role"] == "tool" else answer(
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{\"a\":1}"}}, "function_call")
    if name == "bad-arguments":
        return 200, {}, with_tools(body, called("f", "{\"a\":"))
    if name == "wrong-arguments":
        return 200, {}, with_tools(body, called("f", "{\"a\":\"one\"}"))
    if name == "unknown-tool":
        return 200, {}, with_tools(body, called("g", "{}"))
    if name == "tools-forever":
        return 200, {}, answer({"role": "assistant", "content": None, "tool_calls": [called("f", "{\"a\":1}")]}, "tool_calls")
    if name == "json":
        return 200, {}, said("{\"a\":1}")
    if name == "fenced":
        return 200, {}, said("Here you are:\n```json\n{\"a\": 1}\n```\n")
    if name == "repaired":
        return 200, {}, said("{\"a\":\"one\"}" if n % 2 == 1 else "{\"a\":1}")
    if name == "never-json":
        return 200, {}, said("no")
    if name == "slow":
        time.sleep(0.4)
        return ok
    if name == "frozen-first":
        time.sleep(30)
    return ok


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with lock, open(sys.argv[1], "a") as log:
            log.write(json.dumps({"at": time.time(), "path": self.path, "body": body,
                                  "key": self.headers.get("authorization") or ""}) + "\n")
        try:
            self.reply(body)
        except OSError:
            self.close_connection = True

    def reply(self, body):
        name = body["model"]
        if name == "keyed" and self.headers.get("authorization") != "Bearer sk-right-key-1234":
            given = (self.headers.get("authorization") or "").replace("Bearer ", "")
            return self.send(401, {}, error("Incorrect API key provided: " + given + ".", code="invalid_api_key"))
        if self.path == "/v1/embeddings" and body["input"][0] == "once-429" and count("once-429 of embed") == 1:
            return self.send(429, {"retry-after-ms": "50"}, error("slow down", "tokens", "rate_limit_exceeded"))
        if self.path == "/v1/embeddings":
            vectors = [{"object": "embedding", "index": i, "embedding": [float(len(t)), 0.5]}
                       for i, t in enumerate(body["input"])]
            return self.send(200, {}, {"object": "list", "data": list(reversed(vectors)), "model": name,
                                       "usage": {"prompt_tokens": 5, "total_tokens": 5}})
        if body.get("stream") and name == "tools":
            return self.stream(stream_tools(body))
        if body.get("stream") and name == "script":
            return self.stream(script(body))
        if name == "script":
            return self.send(200, {}, scripted(body))
        if body.get("stream") and name in STREAMS:
            return self.stream(STREAMS[name])
        self.send(*whole(name, body))

    def send(self, status, headers, value):
        text = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        for header, one in headers.items():
            self.send_header(header, one)
        self.send_header("content-type", "text/html" if isinstance(value, str) else "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self, pieces):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for one in pieces:
            if one is RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                raise OSError("reset")
            if isinstance(one, (int, float)):
                time.sleep(one)
                continue
            self.wfile.write(one)
            self.wfile.flush()

    def log_message(self, *args):
        pass


def load_script():
    with open(os.environ["OPENAI_SCRIPT"]) as file:
        return json.load(file)


def turn(body):
    """What OPENAI_SCRIPT, a list, has for this request: by how many tool results it carries; the last one again."""
    steps = load_script()
    return steps[min(sum(m["role"] == "tool" for m in body["messages"]), len(steps) - 1)]


def scripted(body):
    step = turn(body)
    if "call" in step:
        return answer({"role": "assistant", "content": None,
                       "tool_calls": [called(step["call"], json.dumps(step["arguments"]))]}, "tool_calls")
    return said(step["text"])


def script(body):
    step = turn(body)
    if "call" in step:
        return [chunk({"role": "assistant", "content": None, "tool_calls": [
            dict(called(step["call"], json.dumps(step["arguments"])), index=0)]}), chunk({}, "tool_calls"), USAGE_CHUNK, DONE]
    pieces = [ROLE]
    for i in range(0, len(step["text"]), 12):
        pieces += [chunk({"content": step["text"][i:i + 12]}), step.get("pause", 0)]
    if step.get("cut"):
        return pieces[:4]
    return pieces + [chunk({}, "stop"), USAGE_CHUNK, DONE]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


server = Server(("127.0.0.1", int(os.environ.get("OPENAI_PORT", "0"))), Handler)
print("ready %d\n" % server.server_address[1], end="", flush=True)
server.serve_forever()
