// A stand-in for Elasticsearch 8: there is none in Debian or on npm, so nothing here ran against a real node.
// It stands on facts/services.md §7 and evidence/elasticsearch/client-run.txt: the X-Elastic-Product header, _bulk's
// NDJSON with its final newline and an outcome for each item, error objects with root_cause, 404
// index_not_found_exception, 409 version_conflict_engine_exception, 429 es_rejected_execution_exception, 401
// security_exception, index templates with data streams that take only `create`, hits.total with relation. On the manual
// stand: external versions, require_alias, refresh=wait_for, search_after, _delete_by_query, date_histogram, and what the analysis
// components named below do. What it does not know it answers with 400, as Elasticsearch would.
//
//   node elastic.mjs [PORT [CERT KEY]]   prints its port; POST /_stand_in {"mode": "ok"|"storm"|"partial"|"lost"|…} changes it
import http from "node:http"
import https from "node:https"
import fs from "node:fs"

const REFRESH_MS = 150
const indices = new Map() // name -> { docs, visible, mapping, analyzer, stream }
const aliases = new Map(), templates = new Map()
let mode = "ok", key = process.env.ELASTIC_KEY ? "ApiKey " + process.env.ELASTIC_KEY : null
const seen = { bulks: 0, items: 0, types: {} }
let waiting = []
let refused = "" // what indices begin with that are not made

class Refusal extends Error {
  constructor(status, type, reason, more) {
    super(reason)
    this.status = status
    this.body = { error: { root_cause: [{ type, reason, ...more }], type, reason, ...more }, status }
  }
}
const bad = (reason) => new Refusal(400, "illegal_argument_exception", reason)
const missing = (index) => new Refusal(404, "index_not_found_exception", `no such index [${index}]`,
  { "resource.type": "index_or_alias", "resource.id": index, index_uuid: "_na_", index })

// ---- analysis: Lucene's components, as far as maru names them ----

const java = (pattern) => new RegExp(pattern.replace(/\\p\{Is(\w+)\}/g, "\\p{Script=$1}"), "gu")
const CJK = /[\p{Script=Hangul}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー]/u
const FILTERS = {
  cjk_width: (t) => ({ ...t, text: t.text.replace(/[！-～]/g, (c) => String.fromCharCode(c.charCodeAt(0) - 0xfee0)) }),
  lowercase: (t) => ({ ...t, text: t.text.toLowerCase() }),
  asciifolding: (t) => ({ ...t, text: CJK.test(t.text) ? t.text : t.text.normalize("NFD").replace(/\p{M}/gu, "") }),
}

// UAX #29 for what the character filters leave: runs of letters and digits; Han stands alone, other CJK in runs.
function standard(text) {
  return [...text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)].flatMap((m) => {
    const cjk = CJK.test(m[0])
    if (cjk && /[^\p{Script=Hangul}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー\p{M}]/u.test(m[0]))
      return [{ text: m[0], at: m.index, cjk: false }] // a word of both, which cjk_bigram leaves alone
    return cjk ? [...m[0]].map((c, i) => ({ text: c, at: m.index + i, cjk })) : [{ text: m[0], at: m.index, cjk }]
  })
}

function bigrams(tokens) {
  const out = []
  for (let i = 0; i < tokens.length; i++) {
    const [a, b] = [tokens[i], tokens[i + 1]]
    const joined = (x, y) => x && y && x.cjk && y.cjk && y.at === x.at + x.text.length
    if (joined(a, b)) out.push({ ...a, text: a.text + b.text })
    else if (!joined(tokens[i - 1], a)) out.push(a)
  }
  return out
}

function analyzer(analysis, name) {
  const a = analysis?.analyzer?.[name]
  if (!a || a.type !== "custom" || a.tokenizer !== "standard") throw bad(`Custom Analyzer [${name}] is not known here`)
  const chars = (a.char_filter ?? []).map((n) => {
    const f = analysis.char_filter?.[n]
    if (f?.type !== "pattern_replace") throw bad(`failed to find char_filter under [${n}]`)
    return [java(f.pattern), f.replacement]
  })
  for (const f of a.filter)
    if (!FILTERS[f] && f !== "cjk_bigram") throw bad(`failed to find filter under name [${f}]`)
  return (text) => {
    let tokens = standard(chars.reduce((t, [re, to]) => t.replace(re, to), text))
    for (const f of a.filter) tokens = f === "cjk_bigram" ? bigrams(tokens) : tokens.map(FILTERS[f])
    return tokens.map((t) => t.text)
  }
}

// ---- indices ----

const TYPES = new Set(["text", "keyword", "double", "date", "boolean"])
function checkMapping(properties, old = {}) {
  for (const [name, p] of Object.entries(properties)) {
    if (!TYPES.has(p.type)) throw new Refusal(400, "mapper_parsing_exception", `No handler for type [${p.type}]`)
    if (old[name] && old[name].type !== p.type)
      throw bad(`mapper [${name}] cannot be changed from type [${old[name].type}] to [${p.type}]`)
  }
  return { ...old, ...properties }
}

function create(name, body, stream) {
  if (refused && name.startsWith(refused))
    throw new Refusal(400, "validation_exception", "this action would add [2] shards, but this cluster currently has " +
      "[400]/[400] maximum normal shards open;")
  if (indices.has(name))
    throw new Refusal(400, "resource_already_exists_exception", `index [${name}/u] already exists`, { index: name })
  const properties = checkMapping(body.mappings?.properties ?? {})
  const index = { name, docs: new Map(), visible: new Map(), properties, stream, analyze: {} }
  for (const [field, p] of Object.entries(properties))
    if (p.type === "text") index.analyze[field] = analyzer(body.settings?.analysis, p.analyzer)
  index.analysis = body.settings?.analysis
  indices.set(name, index)
  for (const alias of Object.keys(body.aliases ?? {})) aliases.set(alias, name)
  return index
}

function addFields(index, properties) {
  index.properties = checkMapping(properties, index.properties)
  for (const [field, p] of Object.entries(properties))
    if (p.type === "text") index.analyze[field] ??= analyzer(index.analysis, p.analyzer)
}

const find = (name) => indices.get(aliases.get(name) ?? name)
function need(name) {
  const index = find(name)
  if (!index) throw missing(name)
  return index
}

function streamFor(name) {
  for (const [, t] of templates)
    if (t.data_stream && t.index_patterns.some((p) => p === name || (p.endsWith("*") && name.startsWith(p.slice(0, -1)))))
      return create(name, t.template, true)
}

function refresh() {
  for (const index of indices.values()) index.visible = new Map([...index.docs].filter(([, d]) => !d.gone))
  const now = waiting
  waiting = []
  for (const answer of now) answer()
}
setInterval(refresh, REFRESH_MS)

// ---- _bulk ----

function checkSource(index, source) {
  for (const [field, value] of Object.entries(source)) {
    const type = index.properties[field]?.type
    if ((type === "double" && typeof value !== "number") || (type === "boolean" && typeof value !== "boolean")
      || (type === "date" && !Number.isInteger(value)))
      throw new Refusal(400, "document_parsing_exception", `failed to parse field [${field}] of type [${type}]`)
    if (typeof value === "string" && value.includes("REFUSE_ME"))
      throw new Refusal(400, "document_parsing_exception", `failed to parse field [${field}]`)
  }
  if (index.stream && source["@timestamp"] === undefined)
    throw new Refusal(400, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing")
}

function store(op, a, source) {
  const aliased = aliases.has(a._index)
  if (a.require_alias && !aliased)
    throw new Refusal(404, "index_not_found_exception",
      `no such index [${a._index}] and [require_alias] request flag is [true] and [${a._index}] is not an alias`,
      { index_uuid: "_na_", index: a._index })
  const index = find(a._index) ?? streamFor(a._index) ?? create(a._index, {})
  if (index.stream && op !== "create") throw bad("only write ops with an op_type of create are allowed in data streams")
  const old = index.docs.get(a._id)
  const conflict = (why) => new Refusal(409, "version_conflict_engine_exception",
    `[${a._id}]: version conflict, ${why}`, { index_uuid: "u", shard: "0", index: index.name })
  if (op === "create" && old && !old.gone) throw conflict("document already exists (current version [1])")
  if (a.version_type === "external" && old && a.version <= old.version)
    throw conflict(`current version [${old.version}] is higher or equal to the one provided [${a.version}]`)
  if (source) checkSource(index, source)
  const there = old && !old.gone
  const version = a.version ?? (old?.version ?? 0) + 1
  index.docs.set(a._id, op === "delete" ? { gone: true, version } : { source, version })
  const result = op === "delete" ? (there ? "deleted" : "not_found") : there ? "updated" : "created"
  return { _index: index.stream ? `.ds-${index.name}-2026.11.21-000001` : index.name, _id: a._id, _version: version, result,
    _shards: { total: 2, successful: 1, failed: 0 }, _seq_no: 0, _primary_term: 1,
    status: op === "delete" ? (there ? 200 : 404) : there ? 200 : 201 }
}

const rejected = () => new Refusal(429, "es_rejected_execution_exception", "rejected execution of coordinating operation")
function bulk(text) {
  if (!text.endsWith("\n")) throw bad("The bulk request must be terminated by a newline [\\n]")
  if (mode === "storm") throw rejected()
  if (mode === "broken") throw new Refusal(503, "cluster_block_exception", "blocked by: [no master]")
  seen.bulks++
  const lines = text.slice(0, -1).split("\n"), items = []
  for (let i = 0; i < lines.length; i++) {
    const [op, action] = Object.entries(JSON.parse(lines[i]))[0]
    const source = op === "delete" ? undefined : JSON.parse(lines[++i])
    seen.items++
    try {
      if (mode === "partial" && Math.random() < 0.3) throw rejected()
      items.push({ [op]: store(op, action, source) })
    } catch (e) {
      if (!(e instanceof Refusal)) throw e
      const { root_cause, ...error } = e.body.error
      items.push({ [op]: { _index: action._index, _id: action._id, status: e.status, error } })
    }
  }
  return { took: 1, errors: items.some((i) => Object.values(i)[0].error), items }
}

// ---- search ----

const one = (o) => Object.entries(o)[0]
function words(index, doc, field) {
  doc.words ??= {}
  return (doc.words[field] ??= doc.source[field] === undefined ? [] : index.analyze[field](doc.source[field]))
}

function phrase(index, doc, field, text, last) {
  const wanted = index.analyze[field](text), have = words(index, doc, field)
  let n = 0
  if (wanted.length === 0) return 0
  for (let i = 0; i + wanted.length <= have.length; i++)
    n += wanted.every((w, k) => (last && k === wanted.length - 1 ? have[i + k].startsWith(w) : have[i + k] === w))
  if (n === 0) return 0
  const all = [...index.visible.values()]
  const average = all.reduce((s, d) => s + words(index, d, field).length, 0) / all.length
  const df = all.filter((d) => words(index, d, field).includes(wanted[0])).length
  const idf = Math.log(1 + (all.length - df + 0.5) / (df + 0.5))
  return (idf * 2.2 * n) / (n + 1.2 * (0.25 + (0.75 * have.length) / average))
}

// The score, 0 when it does not match.
function score(index, id, doc, query) {
  const [kind, q] = one(query)
  const all = (list) => (list ?? []).map((x) => score(index, id, doc, x))
  const text = (field) => {
    if (index.properties[field]?.type !== "text") throw bad(`[${kind}] on the field [${field}]`)
    return field
  }
  switch (kind) {
    case "match_all":
      return 1
    case "bool": {
      const must = all(q.must), should = all(q.should).filter((s) => s > 0)
      if (must.includes(0) || all(q.filter).includes(0) || all(q.must_not).some((s) => s > 0)) return 0
      if (should.length < (q.minimum_should_match ?? (q.should && !q.must && !q.filter ? 1 : 0))) return 0
      return [...must, ...should].reduce((a, b) => a + b, 0)
    }
    case "match_phrase":
      return phrase(index, doc, text(one(q)[0]), one(q)[1].query, false)
    case "match_phrase_prefix":
      return phrase(index, doc, text(one(q)[0]), one(q)[1].query, true)
    case "prefix":
      return words(index, doc, text(one(q)[0])).some((w) => w.startsWith(one(q)[1].value)) ? 1 : 0
    case "wildcard": {
      const value = one(q)[1].value
      if (!/^\?[^?*\\]+$/u.test(value)) throw bad(`wildcard [${value}] is not known here`)
      return words(index, doc, text(one(q)[0])).some((w) => [...w].slice(1).join("") === value.slice(1)) ? 1 : 0
    }
    case "terms":
      if (index.properties[one(q)[0]]?.type === "text") throw bad("terms on text")
      return one(q)[1].includes(doc.source[one(q)[0]]) ? 1 : 0
    case "range": {
      const [field, r] = one(q), v = doc.source[field]
      if (index.properties[field]?.type === "date" && r.format !== "epoch_millis") throw bad("a range without format")
      return v !== undefined && !(v < r.gte) && !(v > r.lte) && !(v >= r.lt) ? 1 : 0
    }
    case "function_score": {
      const base = score(index, id, doc, q.query)
      if (q.boost_mode !== "multiply") throw bad("boost_mode")
      return q.functions.reduce((s, f) => {
        const [field, { origin, scale, decay }] = one(f.exp), at = doc.source[field]
        return at === undefined ? s : s * Math.exp((Math.log(decay) / parseInt(scale)) * Math.abs(origin - at))
      }, base)
    }
    default:
      throw new Refusal(400, "parsing_exception", `unknown query [${kind}]`)
  }
}

const less = (a, b) => (a < b ? -1 : a > b ? 1 : 0)
function order(sort) {
  return (x, y) => {
    for (let i = 0; i < sort.length; i++) {
      const { order: way } = one(sort[i])[1], a = x[i], b = y[i]
      const c = a === b ? 0 : a === null ? 1 : b === null ? -1 : way === "desc" ? less(b, a) : less(a, b)
      if (c) return c
    }
    return 0
  }
}

function search(index, body) {
  const known = ["query", "track_total_hits", "size", "timeout", "sort", "search_after", "_source", "aggs"]
  for (const name of Object.keys(body))
    if (!known.includes(name)) throw new Refusal(400, "parsing_exception", `Unknown key for [${name}]`)
  if (body.size > 10000) throw bad("Result window is too large")
  const matching = []
  for (const [id, doc] of index.visible) {
    const s = score(index, id, doc, body.query)
    if (s > 0) matching.push({ id, doc, s })
  }
  for (const m of matching)
    m.sort = body.sort.map((o) => (one(o)[0] === "_score" ? m.s : m.doc.source[one(o)[0]] ?? null))
  const compare = order(body.sort)
  matching.sort((a, b) => compare(a.sort, b.sort))
  if (body.search_after && body.search_after.length !== body.sort.length)
    throw bad(`search_after has ${body.search_after.length} value(s) but sort has ${body.sort.length}.`)
  const behind = body.search_after ? matching.filter((m) => compare(m.sort, body.search_after) > 0) : matching
  const scored = one(body.sort[0])[0] === "_score"
  const hits = behind.slice(0, body.size).map((m) => ({ _index: index.name, _id: m.id, _score: scored ? m.s : null,
    _source: Object.fromEntries(Object.entries(m.doc.source).filter(([k]) => body._source.includes(k))), sort: m.sort }))
  const aggregations = {}
  for (const [name, { terms, date_histogram: steps }] of Object.entries(body.aggs ?? {})) {
    const counts = new Map()
    if (steps) {
      const every = Number(/^(\d+)ms$/.exec(steps.fixed_interval)?.[1])
      if (!every || Object.keys(steps).some((k) => !["field", "fixed_interval", "min_doc_count"].includes(k)))
        throw bad("date_histogram")
      for (const m of matching) {
        const start = Math.floor(m.doc.source[steps.field] / every) * every
        if (!Number.isNaN(start)) counts.set(start, (counts.get(start) ?? 0) + 1)
      }
      aggregations[name] = { buckets: [...counts].sort((a, b) => a[0] - b[0])
        .map(([k, n]) => ({ key_as_string: String(k), key: k, doc_count: n })) }
      continue
    }
    for (const m of matching) {
      const value = m.doc.source[terms.field]
      if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1)
    }
    aggregations[name] = { doc_count_error_upper_bound: 0, sum_other_doc_count: 0,
      buckets: [...counts].sort((a, b) => b[1] - a[1] || less(a[0], b[0])).slice(0, terms.size)
        .map(([k, n]) => ({ key: k, doc_count: n })) }
  }
  return { took: 1, timed_out: false, _shards: { total: 1, successful: 1, skipped: 0, failed: 0 },
    hits: { total: { value: matching.length, relation: "eq" }, max_score: null, hits }, aggregations }
}

const matches = (index, query) => [...index.visible].filter(([id, doc]) => score(index, id, doc, query) > 0)

// ---- routes ----

function control(body) {
  mode = body.mode ?? mode
  refused = body.refuse ?? refused
  if (body.drop) {
    indices.delete(aliases.get(body.drop) ?? body.drop)
    aliases.delete(body.drop)
  }
  const docs = {}
  for (const index of indices.values()) docs[index.name] = [...index.docs.values()].filter((d) => !d.gone).length
  return { ...seen, docs, templates: Object.fromEntries(templates) }
}

function answer(method, path, text) {
  const json = () => (text ? JSON.parse(text) : {})
  const [, first, second, third] = path.split("/").map(decodeURIComponent)
  if (method === "GET" && path === "/")
    return { name: "n", cluster_name: "c", cluster_uuid: "u", version: { number: "8.15.0", build_flavor: "default" },
      tagline: "You Know, for Search" }
  if (method === "POST" && path === "/_bulk") return bulk(text)
  if (method === "PUT" && first === "_index_template" && second && !third) {
    const body = json()
    for (const [field, p] of Object.entries(body.template.mappings.properties))
      if (field === "@timestamp" && Object.keys(p).some((k) => k !== "type")) throw bad("disallowed attributes")
    templates.set(second, body)
    return { acknowledged: true }
  }
  if (method === "HEAD" && !second) return need(first) && {}
  if (method === "PUT" && !second) {
    create(first, json())
    return { acknowledged: true, shards_acknowledged: true, index: first }
  }
  if (method === "PUT" && second === "_mapping") {
    addFields(need(first), json().properties)
    return { acknowledged: true }
  }
  if (method !== "POST") throw new Refusal(405, "illegal_argument_exception", "method")
  if (second === "_refresh") return need(first) && (refresh(), { _shards: { total: 2, successful: 1, failed: 0 } })
  if (second === "_search") return search(need(first), json())
  if (second === "_count") return { count: matches(need(first), json().query).length, _shards: { failed: 0 } }
  if (second === "_delete_by_query") {
    const index = need(first), gone = matches(index, json().query)
    for (const [id, doc] of gone) index.docs.set(id, { gone: true, version: doc.version + 1 })
    refresh()
    return { took: 1, timed_out: false, total: gone.length, deleted: gone.length, version_conflicts: 0, failures: [] }
  }
  throw bad(`no handler found for uri [${path}] and method [${method}]`)
}

function respond(request, response, text) {
  const url = new URL(request.url, "http://x"), headers = { "content-type":
    "application/vnd.elasticsearch+json;compatible-with=8", "X-Elastic-Product": "Elasticsearch" }
  if (mode === "other") delete headers["X-Elastic-Product"]
  let status = 200, body
  const told = url.pathname === "/_stand_in"
  // Before it stands a proxy: that has nobody behind it, or that takes requests of 20 kB (nginx: 1 MiB).
  const refused = mode === "nobody" ? 404 : mode === "small" && text.length > 20000 ? 413 : 0
  if (refused && !told) {
    response.writeHead(refused, { "content-type": "text/html" }).end("<html><body>nginx</body></html>")
    return
  }
  try {
    if (told) body = control(text ? JSON.parse(text) : {})
    else {
      const type = request.headers["content-type"]
      seen.types[type] = (seen.types[type] ?? 0) + 1
      if (key && request.headers.authorization !== key)
        throw new Refusal(401, "security_exception", "missing authentication credentials")
      body = answer(request.method, url.pathname, text)
    }
  } catch (e) {
    if (!(e instanceof Refusal)) console.error(e)
    status = e.status ?? 500
    body = e.body ?? { error: { type: "exception", reason: String(e) }, status }
  }
  const send = () => {
    response.writeHead(status, headers)
    response.end(request.method === "HEAD" ? "" : JSON.stringify(body))
  }
  if (url.searchParams.get("refresh") === "wait_for" && status === 200) waiting.push(send)
  else send()
}

const handle = (request, response) => {
  const chunks = []
  request.on("data", (c) => chunks.push(c)).on("end", () => respond(request, response, Buffer.concat(chunks).toString()))
}
const [, , port = "0", cert, keyFile] = process.argv
const server = cert ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(keyFile) }, handle)
  : http.createServer(handle)
server.listen(Number(port), "127.0.0.1", () => console.log(server.address().port))
