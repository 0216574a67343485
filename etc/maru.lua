-- Every key with its default. Later wins: this file, MARU_<KEY> in the
-- environment (MARU_HTTP_LISTEN), --set key=value. Addresses of servers and
-- secrets can stand in files of their own: ["jobs.url_file"], MARU_JOBS_URL_FILE,
-- or secret("/run/secrets/x") for any value here. Plugins take theirs from
-- ["plugins.<name>"] = { key = value }, MARU_PLUGINS_<NAME>__<KEY>, and from the
-- file that MARU_PLUGINS_<NAME>__<KEY>__FILE names.
return {
  -- Everything maru writes is below this folder; commands find the admin socket by it.
  -- ["state.dir"] = "state",

  -- What this process does: web serves, jobs runs jobs, cron fires schedules.
  -- ["roles"] = { "web", "jobs", "cron" },

  -- How this process is called among others; empty = its host's name and its pid.
  -- ["node.name"] = "",

  -- HTTP/1.1 without TLS, host:port; port 0 picks a free one; empty = off.
  -- ["http.listen"] = "127.0.0.1:8080",

  -- HTTP/1.1 and HTTP/2 over TLS; empty = off.
  -- ["https.listen"] = "127.0.0.1:8443",

  -- PEM chain; empty = one made at the first start in state.dir.
  -- ["https.certificate"] = "",

  -- PEM key of the certificate.
  -- ["https.key"] = "",

  -- Port of the operations page and admin API, behind a token; empty = unix socket only.
  -- ["admin.listen"] = "",

  -- One JSON line a request on standard output.
  -- ["http.access_log"] = false,

  -- Origins other than our own that browsers may call from; * = any.
  -- ["http.cors_origins"] = {},

  -- Request line and headers; over it 431.
  -- ["http.header_bytes"] = "16K",

  -- Body of a route that says nothing; over it 413.
  -- ["http.body_bytes"] = "1M",

  -- Time for a request's headers.
  -- ["http.header_timeout"] = "10s",

  -- Time without a byte of a body.
  -- ["http.body_timeout"] = "10s",

  -- Keep-alive without a request.
  -- ["http.idle_timeout"] = "60s",

  -- Patience with a client that does not take its answers; each KiB taken gives a second back.
  -- ["http.send_timeout"] = "60s",

  -- Answers that one connection has not taken; over it its next requests wait.
  -- ["http.unsent_bytes"] = "4M",

  -- Requests of one connection at a time.
  -- ["http.tasks_per_connection"] = 128,

  -- Connections of one lane.
  -- ["http.connections"] = 20000,

  -- Requests a second one connection may cancel before it is closed.
  -- ["http.max_cancels"] = 100,

  -- HTTP/2 frames a second without request or data before a connection is closed.
  -- ["http.max_control_frames"] = 1000,

  -- Kept answers of routes with a cache option.
  -- ["http.cache_bytes"] = "32M",

  -- The dashboard's files; empty = those that came with the program.
  -- ["public.dir"] = "",

  -- Folders of plugins, colon-separated; a folder given first wins.
  -- ["plugins.path"] = "plugins",

  -- Plugins that are not loaded.
  -- ["plugins.disable"] = { "simulator", "notify" },

  -- Plugins that may be broken at start-up; the rest starts without them.
  -- ["plugins.tolerate"] = {},

  -- A plugin that had to be ended by force so often is held back until it is released.
  -- ["plugins.quarantine_kills"] = 3,

  -- The time within which these count.
  -- ["plugins.quarantine_time"] = "60s",

  -- Plugins that may reach more than before without `maru reload NAME --allow`; * = all.
  -- ["plugins.trust"] = {},

  -- Reload a plugin when its files change.
  -- ["plugins.watch"] = true,

  -- Error answers and pages show file, line and source; browsers do not cache.
  -- ["development"] = true,

  -- Time for tasks of a replaced generation.
  -- ["reload.drain"] = "30s",

  -- Per cent of failed tasks over which a new generation is rolled back; 0 = never.
  -- ["reload.guard"] = 50,

  -- So many tasks have ended before their share of failures means anything.
  -- ["reload.guard_tasks"] = 20,

  -- How long after a reload that is looked at; two kills in it are too many as well.
  -- ["reload.guard_time"] = "60s",

  -- Live generations of one plugin, the one serving included; over it the oldest ends at once.
  -- ["reload.generations"] = 4,

  -- Time of a plugin's start(), and of its stop().
  -- ["reload.start_time"] = "10s",

  -- Threads that serve; 0 = one a core.
  -- ["lanes.web"] = 0,

  -- Threads that run jobs; 0 = one a core.
  -- ["lanes.job"] = 0,

  -- Threads for what blocks.
  -- ["pool.threads"] = 4,

  -- Lua memory of one plugin on one lane, unless it says otherwise.
  -- ["vm.memory"] = "64M",

  -- Time of one handler, unless its plugin says otherwise.
  -- ["task.timeout"] = "30s",

  -- How long one handler may hold its lane without waiting, unless its plugin says otherwise.
  -- ["watchdog"] = "1s",

  -- Time to finish what runs when told to stop.
  -- ["shutdown.grace"] = "10s",

  -- Where plugins' tables are: sqlite (this server's own) or postgres (which several share).
  -- ["store.driver"] = "sqlite",

  -- postgresql://user:password@host:port/database; in the environment MARU_STORE_URL.
  -- ["store.url"] = "",

  -- A replica of it, for store:read, and for all reads while the first is away; empty = none.
  -- ["store.read_url"] = "",

  -- Connections to PostgreSQL that one plugin has on one lane, at most.
  -- ["store.pool"] = 4,

  -- Reading connections of the relational store.
  -- ["store.readers"] = 4,

  -- Where series are kept: duckdb (this server's own) or postgres (which several share).
  -- ["series.driver"] = "duckdb",

  -- Address of PostgreSQL if series.driver is postgres; empty = that of store.url.
  -- ["series.url"] = "",

  -- Path of libduckdb.so; empty = beside the program, then the system's.
  -- ["series.library"] = "",

  -- How often old points are dropped and partitions are made ahead.
  -- ["series.upkeep"] = "1h",

  -- Memory DuckDB may use.
  -- ["series.memory"] = "512M",

  -- Threads DuckDB may use.
  -- ["series.threads"] = 2,

  -- Path of libmaru-cuda.so (scripts/build cuda maru-cuda), which runs batches of LSTMs on GPUs; empty = none.
  -- ["kernels.gpu"] = "",

  -- Series that a GPU is asked for at once, at least; the CPU takes fewer.
  -- ["kernels.gpu_batch"] = 64,

  -- Where objects are: directory or s3.
  -- ["objects.driver"] = "directory",

  -- Folder of objects; empty = objects below state.dir.
  -- ["objects.dir"] = "",

  -- https://host before presigned URLs that maru answers; empty = they begin with /objects/.
  -- ["objects.public_url"] = "",

  -- Largest body of a presigned PUT that maru answers.
  -- ["objects.upload_bytes"] = "64M",

  -- s3: https://host[:port].
  -- ["objects.url"] = "",

  -- s3: access key; empty = AWS_ACCESS_KEY_ID.
  -- ["objects.key"] = "",

  -- s3: its secret; empty = AWS_SECRET_ACCESS_KEY.
  -- ["objects.secret"] = "",

  -- s3: of a session; empty = AWS_SESSION_TOKEN.
  -- ["objects.token"] = "",

  -- s3: the bucket, which has to be there.
  -- ["objects.bucket"] = "",

  -- s3: the region that signatures name.
  -- ["objects.region"] = "us-east-1",

  -- s3: https://host/bucket/key; false = https://bucket.host/key.
  -- ["objects.path_style"] = true,

  -- s3: of one request, with its retries; one carries 8 MiB at least.
  -- ["objects.timeout"] = "1m",

  -- Uploads that nobody finished for so long were given up: their parts and files are removed.
  -- ["objects.upload_ttl"] = "1d",

  -- How often uploads that were given up are looked for; at the start, too.
  -- ["objects.sweep"] = "1d",

  -- Where app.search keeps documents: fts (this server's own) or elasticsearch.
  -- ["search.driver"] = "fts",

  -- Elasticsearch: https://host:9200; in the environment MARU_SEARCH_URL.
  -- ["search.url"] = "",

  -- Who asks there, with search.password.
  -- ["search.user"] = "",

  -- Password of search.user; in the environment MARU_SEARCH_PASSWORD.
  -- ["search.password"] = "",

  -- In the place of user and password, as Elasticsearch encodes it; MARU_SEARCH_API_KEY.
  -- ["search.api_key"] = "",

  -- PEM file of the authority that signed its certificate; empty = the system's.
  -- ["search.ca_file"] = "",

  -- What aliases there begin with; servers that share indexes have the same.
  -- ["search.prefix"] = "maru-",

  -- Documents kept on disk while Elasticsearch is away; over it indexing fails.
  -- ["search.spool"] = "1G",

  -- Time of one search.
  -- ["search.timeout"] = "10s",

  -- In-process cache; over it the least recently used goes.
  -- ["cache.memory"] = "64M",

  -- Where app.cache, locks and rate limits are: memory (this server's own), or redis (shared).
  -- ["cache.driver"] = "memory",

  -- redis://, rediss:// or unix:// address of cache.driver; in the environment MARU_CACHE_URL.
  -- ["cache.url"] = "",

  -- What keys in Redis begin with; servers that share a cache have the same.
  -- ["cache.prefix"] = "maru:",

  -- Patience with an answer of Redis; then this server's own memory answers.
  -- ["cache.timeout"] = "500ms",

  -- Whom a published message reaches: memory (this server), or redis (all that share one).
  -- ["channels.driver"] = "memory",

  -- Address of that Redis; empty = cache.url. Prefix and patience are those of the cache.
  -- ["channels.url"] = "",

  -- smtp://host:port or smtps://host:port of the server that app.mail sends by; empty = none.
  -- ["mail.url"] = "",

  -- Who sends mail that does not say: maru@example.com.
  -- ["mail.from"] = "",

  -- Name to log in with; empty = without.
  -- ["mail.user"] = "",

  -- Its password; MARU_MAIL_PASSWORD.
  -- ["mail.password"] = "",

  -- smtp://: required, offered, off; auto = required with a password, else if it is offered.
  -- ["mail.starttls"] = "auto",

  -- File with the certificates that vouch for the server's; empty = the system's.
  -- ["mail.ca"] = "",

  -- Time for one mail.
  -- ["mail.timeout"] = "30s",

  -- Largest mail, its attachments included, before it is encoded.
  -- ["mail.max_bytes"] = "25M",

  -- Jobs one job lane runs at a time.
  -- ["jobs.concurrency"] = 128,

  -- How long results are kept.
  -- ["jobs.result_ttl"] = "1d",

  -- How long dead jobs are kept.
  -- ["jobs.dead_ttl"] = "30d",

  -- Jobs that no plugin has declared since they were due, so long ago, are dead; 0: they wait.
  -- ["jobs.held_ttl"] = "7d",

  -- Where jobs are kept: sqlite (this server's own), or what several servers share.
  -- ["jobs.driver"] = "sqlite",

  -- Address of the server that jobs.driver names; in the environment MARU_JOBS_URL.
  -- ["jobs.url"] = "",

  -- Jobs of a server that several share go to another when it was silent for so long.
  -- ["jobs.lease"] = "20s",

  -- Where events are kept: table (this server's own), or kafka.
  -- ["events.driver"] = "table",

  -- Brokers of Kafka, host:port with commas between.
  -- ["events.url"] = "",

  -- What consumer groups in Kafka begin with; servers that share their work have the same.
  -- ["events.group"] = "maru",

  -- What names of topics in Kafka begin with.
  -- ["events.prefix"] = "",

  -- Partitions of a topic that is not in Kafka yet.
  -- ["events.partitions"] = 4,

  -- An emit that no broker has answered has failed after so long.
  -- ["events.timeout"] = "10s",

  -- Properties of librdkafka, name=value; a value may be env:NAME or file:PATH, secrets must.
  -- ["events.kafka"] = {},

  -- How long the table keeps events; 0 = for ever.
  -- ["events.retention"] = "7d",

  -- What the table keeps of one topic, the newest; 0 = no bound.
  -- ["events.topic_bytes"] = "1G",

  -- Language models in the order they are asked in; docs/guide/model.md has their settings.
  -- ["model.providers"] = {},

  -- What plugins may spend in a day (UTC): { plugin, cost, tokens }; without plugin: the others.
  -- ["model.budget"] = {},

  -- Of prices and budgets.
  -- ["model.currency"] = "USD",

  -- Time of one request to language models, other providers and tries included.
  -- ["model.timeout"] = "60s",

  -- How long answers to requests of temperature 0 are kept; 0 = not.
  -- ["model.cache_ttl"] = "1h",

  -- What never leaves in a request: keys, email, phone, card, or patterns of Lua.
  -- ["model.redact"] = { "keys" },

  -- How long finished runs of workflows are kept.
  -- ["workflows.ttl"] = "7d",

  -- Queues of Celery this server takes tasks from, with commas; those of M.jobs anyway.
  -- ["celery.queues"] = "",

  -- Queue of tasks for Python workers when nothing names one (Celery's task_default_queue).
  -- ["celery.default_queue"] = "celery",

  -- A Python worker silent for so long loses its messages; as broker_transport_options says.
  -- ["celery.visibility_timeout"] = "1h",

  -- Name of this server as a worker, in Flower and celery inspect; empty = maru@host.
  -- ["celery.node"] = "",

  -- What keys of our own in Redis begin with; servers of one queue have the same.
  -- ["celery.prefix"] = "maru:",

  -- Zone of schedules that name none.
  -- ["cron.tz"] = "Asia/Seoul",

  -- Receiver of OpenTelemetry traces, OTLP over HTTP: http://host:4318; empty = off.
  -- ["trace.url"] = "",

  -- Share of the requests and jobs that nobody traced before whose traces are kept.
  -- ["trace.ratio"] = 0.01,

  -- A caller's traceparent decides instead; false where callers are strangers.
  -- ["trace.parent"] = true,

  -- Sent with every batch of spans: name=value, with commas between them.
  -- ["trace.headers"] = "",

  -- What traces call this program (service.name).
  -- ["trace.service"] = "maru",

  -- Spans kept in memory until they are sent, at most 2 KiB each; over it new ones are dropped.
  -- ["trace.spans"] = 8192,

  -- debug, info, warn or error.
  -- ["log.level"] = "info",

  -- Where log lines go; empty = standard error.
  -- ["log.file"] = "",

  -- Lines of the log are indexed where search.driver says, and found by maru logs --search.
  -- ["logs.search"] = false,

  -- How long they are kept for that.
  -- ["logs.search_ttl"] = "7d",

  -- So many of them fts keeps at most; the oldest go first.
  -- ["logs.search_bytes"] = "1G",
}
