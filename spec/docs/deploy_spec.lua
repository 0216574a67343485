--- etc/compose.yaml, etc/kubernetes and what lies beside them, as far as they can be looked at without Docker: they are
--- YAML, every MARU_ variable and key of maru.lua is one that `maru config` takes, names that point at each other meet,
--- and no secret stands in clear. Nothing is started from them here.
local cjson = require("cjson")
local server = require("spec.support.server")

--- The documents of YAML files, by path. @return table path -> table[]
local function read(paths)
  local script = "import json, sys, yaml; "
    .. "print(json.dumps({p: list(yaml.safe_load_all(open(p))) for p in sys.argv[1:]}))"
  local text, status = server.shell(("python3 -c '%s' %s"):format(script, table.concat(paths, " ")))
  assert(status == 0, text)
  return cjson.decode(text)
end

local function list(pattern)
  local found = {}
  for path in server.shell("ls " .. pattern):gmatch("%S+") do
    found[#found + 1] = path
  end
  return found
end

--- What `maru config` says of these variables and this file, secrets being files that are there.
local function config(dir, environment, file)
  local words = { "env -i" }
  for name, value in pairs(environment) do
    words[#words + 1] = name .. "='" .. value .. "'"
  end
  words[#words + 1] = server.binary() .. " config" .. (file and " -c " .. file or "")
  local text, status = server.shell(table.concat(words, " "))
  assert(status == 0, dir .. ": " .. text)
  return text
end

local function is_clear(name, value)
  local secret = name:upper():find("PASSWORD") or name:upper():find("SECRET") or name:upper():find("TOKEN")
  return (secret and not name:upper():find("_FILE$")) or value:find("://[^/@]*:[^/@]+@")
end

--- Every text in it, with its path.
local function walk(value, path, visit)
  if type(value) ~= "table" then
    return visit(path, tostring(value))
  end
  for key, inner in pairs(value) do
    walk(inner, path .. "." .. tostring(key), visit)
  end
end

local NODES = { "web", "jobs", "cron" }
local PORT = "8081" -- of the listener that is not published

describe("etc/compose.yaml", function()
  local compose, dir
  setup(function()
    compose = read({ "etc/compose.yaml" })["etc/compose.yaml"][1]
    dir = server.make_dir()
    assert.equal(0, select(2, server.shell("etc/secrets.sh " .. dir)))
  end)
  teardown(function()
    server.shell("rm -rf " .. dir)
  end)

  it("gives each maru variables that it takes, with one role each", function()
    for _, node in ipairs(NODES) do
      local environment = {}
      for name, value in pairs(compose.services[node].environment) do
        environment[name] = value:gsub("^/run/secrets", dir)
      end
      local said = config(node, environment)
      for name in pairs(environment) do
        assert.truthy(said:find("-- environment " .. name .. "[\n,]"), name .. " is not a key of maru")
      end
      assert.equal(node, environment.MARU_ROLES)
      assert.equal(node, environment.MARU_NODE_NAME)
      assert.truthy(said:find('["store.url"] = "postgresql://maru:***@postgres:5432/maru"', 1, true), said)
      assert.truthy(said:find('["cache.url"] = "redis://maru:***@redis:6379/0"', 1, true), said)
      assert.equal("0.0.0.0:" .. PORT, environment.MARU_ADMIN_LISTEN)
    end
  end)

  it("publishes what plugins serve, and no listener of operators", function()
    for name, service in pairs(compose.services) do
      for _, port in ipairs(service.ports or {}) do
        assert.is_nil(port:find(PORT .. "$"), name)
        assert.truthy(name == "web" or port:find("^127%.0%.0%.1:"), name .. " publishes " .. port)
      end
    end
    assert.same({ "8080:8080", "8443:8443" }, compose.services.web.ports)
  end)

  it("restarts everything, asks how it is, and runs maru without rights", function()
    for name, service in pairs(compose.services) do
      assert.truthy(service.image, name)
      assert.truthy(service.restart, name)
      assert.truthy(service.healthcheck or service.restart == "no", name)
      assert.is_nil((service.image or ""):find(":latest"), name)
    end
    for _, node in ipairs(NODES) do
      local service = compose.services[node]
      assert.is_true(service.read_only)
      assert.same({ "ALL" }, service.cap_drop)
      assert.truthy(table.concat(service.healthcheck.test, " "):find("/readyz", 1, true))
    end
  end)

  it("names only what is there", function()
    for name, service in pairs(compose.services) do
      for _, secret in ipairs(service.secrets or {}) do
        assert.truthy(compose.secrets[secret], name .. ": " .. secret)
        assert.truthy(server.read_file(dir .. "/" .. secret), secret .. " is not made by etc/secrets.sh")
      end
      for _, volume in ipairs(service.volumes or {}) do
        local from = volume:match("^[^:]+")
        local there = from:find("^%./") and server.read_file("etc/" .. from:sub(3) .. "/.") == nil
          and select(2, server.shell("test -e etc/" .. from:sub(3))) == 0
        assert.truthy(there or compose.volumes[from] ~= nil, name .. ": " .. volume)
      end
      for other in pairs(service.depends_on and not service.depends_on[1] and service.depends_on or {}) do
        assert.truthy(compose.services[other], name .. ": " .. other)
      end
      walk(service.environment or {}, name, function(path, value)
        local secret = value:match("^/run/secrets/(.+)$")
        local has = false
        for _, own in ipairs(service.secrets or {}) do
          has = has or own == secret
        end
        assert.truthy(not secret or has, path .. ": " .. value)
      end)
    end
  end)

  it("has no secret in clear", function()
    for name, service in pairs(compose.services) do
      walk(service.environment or {}, name, function(path, value)
        assert.falsy(is_clear(path, value), path)
      end)
    end
    for name, secret in pairs(compose.secrets) do
      assert.equal("./secrets/" .. name, secret.file)
    end
    local ignored = server.read_file(".gitignore")
    for _, path in ipairs({ "/etc/secrets/", "/etc/kubernetes/secrets.yaml" }) do
      assert.truthy(ignored:find("\n" .. path .. "\n", 1, true), path)
    end
  end)

  it("has its maru scraped, and its boards and rules found", function()
    local files = read({ "etc/prometheus/prometheus.yml", "etc/grafana/provisioning/datasources/maru.yaml",
      "etc/grafana/provisioning/dashboards/maru.yaml" })
    local prometheus = files["etc/prometheus/prometheus.yml"][1]
    local targets = {}
    for i, node in ipairs(NODES) do
      targets[i] = node .. ":" .. PORT
    end
    assert.same(targets, prometheus.scrape_configs[1].static_configs[1].targets)
    for _, rules in ipairs(prometheus.rule_files) do
      assert.truthy(server.read_file("etc/prometheus/" .. rules), rules)
    end
    local source = files["etc/grafana/provisioning/datasources/maru.yaml"][1].datasources[1]
    assert.equal("http://prometheus:9090", source.url)
    local boards = files["etc/grafana/provisioning/dashboards/maru.yaml"][1].providers[1].options.path
    assert.truthy(table.concat(compose.services.grafana.volumes, " "):find("./grafana:" .. boards, 1, true))
  end)

  it("has users of Redis that a Redis takes", function()
    local port = server.free_port()
    server.shell(("chmod 755 %s; redis-server --port %d --dir %s --save '' --aclfile %s/redis_users --pidfile %s/pid "
      .. "--daemonize yes"):format(dir, port, dir, dir, dir))
    finally(function()
      server.shell("kill $(cat " .. dir .. "/pid)")
    end)
    local url = server.read_file(dir .. "/redis_url"):gsub("redis:6379", "127.0.0.1:" .. port):gsub("%s+$", "")
    local said = server.wait_for(function()
      local text = server.shell("redis-cli -u '" .. url .. "' --no-auth-warning ping")
      return text:find("PONG") and text
    end)
    assert.truthy(said)
    assert.truthy(server.shell("redis-cli -p " .. port .. " ping"):find("NOAUTH", 1, true))
  end)
end)

describe("etc/kubernetes", function()
  local by, all
  setup(function()
    by, all = {}, {}
    for _, documents in pairs(read(list("etc/kubernetes/*.yaml"))) do
      for _, one in ipairs(documents) do
        by[one.kind] = by[one.kind] or {}
        if one.metadata then
          by[one.kind][one.metadata.name] = one
        end
        all[#all + 1] = one
      end
    end
  end)

  it("has a configuration that maru takes", function()
    local dir = server.make_dir()
    finally(function()
      server.shell("rm -rf " .. dir)
    end)
    local given = {}
    for name, value in pairs(by.Secret.maru.stringData) do
      assert.equal("", value, "the template holds a secret")
      given[name] = true
      server.write_file(dir .. "/" .. name, "postgresql://u:hush@host/db\n")
    end
    local text = by.ConfigMap.maru.data["maru.lua"]
    for name in text:gmatch('secrets %.%. "([%w_]+)"') do
      assert.truthy(given[name], name .. " is not among the secrets")
    end
    server.write_file(dir .. "/maru.lua", (text:gsub('"/run/secrets/maru/"', '"' .. dir .. '/"')))
    local said = config("config.yaml", {}, dir .. "/maru.lua")
    assert.is_nil(said:find("hush", 1, true))
    for key in text:gmatch('%["([%w_.]+)"%]') do
      local plain = key:gsub("_file$", "")
      assert.truthy(said:find('  ["' .. plain .. '"] = ', 1, true), key)
    end
    assert.truthy(text:find('["admin.listen"] = "0.0.0.0:' .. PORT .. '"', 1, true))
  end)

  it("runs each role, asked how it is, without rights and with its own disk", function()
    for _, role in ipairs(NODES) do
      local set = by.StatefulSet["maru-" .. role]
      local pod = set.spec.template.spec
      local container = pod.containers[1]
      local environment, ports = {}, {}
      for _, one in ipairs(container.env) do
        environment[one.name] = one.value or true
      end
      for _, port in ipairs(container.ports) do
        ports[port.name] = tostring(port.containerPort)
      end
      assert.equal(role, environment.MARU_ROLES)
      assert.equal(PORT, ports.admin)
      assert.equal(role == "web" and "8080" or nil, ports.http)
      for name, path in pairs({ startupProbe = "/healthz", livenessProbe = "/healthz", readinessProbe = "/readyz" }) do
        assert.same({ path = path, port = "admin" }, container[name].httpGet)
      end
      local said = config(role, { MARU_ROLES = environment.MARU_ROLES, MARU_NODE_NAME = "x" })
      assert.truthy(said:find("-- environment MARU_NODE_NAME", 1, true))
      assert.is_true(pod.securityContext.runAsNonRoot)
      assert.is_true(container.securityContext.readOnlyRootFilesystem)
      assert.is_false(container.securityContext.allowPrivilegeEscalation)
      assert.same({ "ALL" }, container.securityContext.capabilities.drop)
      assert.is_false(pod.enableServiceLinks)
      assert.truthy(pod.terminationGracePeriodSeconds > 20)
      local mounts = { state = "/var/lib/maru", config = "/etc/maru", secrets = "/run/secrets/maru", tmp = "/tmp" }
      for _, mount in ipairs(container.volumeMounts) do
        assert.equal(mounts[mount.name], mount.mountPath)
      end
    end
    local image = server.read_file("Dockerfile")
    assert.truthy(image:find("--uid 10001", 1, true), "runAsUser is the image's user")
  end)

  it("has services, budgets, scaling and policies that find their pods", function()
    local function finds(selector, what)
      for _, set in pairs(by.StatefulSet) do
        local labels, fits = set.spec.template.metadata.labels, true
        for key, value in pairs(selector) do
          fits = fits and labels[key] == value
        end
        if fits then
          return set
        end
      end
      error(what .. " finds no pod")
    end
    for name, set in pairs(by.StatefulSet) do
      assert.truthy(by.Service[set.spec.serviceName], name)
      assert.equal("None", by.Service[set.spec.serviceName].spec.clusterIP)
      assert.same(set.spec.selector.matchLabels, set.spec.template.metadata.labels)
      assert.truthy(by.PodDisruptionBudget[name], name)
    end
    for name, service in pairs(by.Service) do
      local set = finds(service.spec.selector, name)
      for _, port in ipairs(service.spec.ports) do
        local found = false
        for _, own in ipairs(set.spec.template.spec.containers[1].ports) do
          found = found or own.name == port.targetPort
        end
        assert.truthy(found, name .. ": " .. port.targetPort)
      end
    end
    for name, budget in pairs(by.PodDisruptionBudget) do
      finds(budget.spec.selector.matchLabels, name)
    end
    for name, policy in pairs(by.NetworkPolicy) do
      finds(policy.spec.podSelector.matchLabels, name)
    end
    for _, scaler in pairs(by.HorizontalPodAutoscaler) do
      assert.truthy(by[scaler.spec.scaleTargetRef.kind][scaler.spec.scaleTargetRef.name])
    end
  end)

  it("is one namespace's, and complete", function()
    local listed = {}
    for _, file in ipairs(all) do
      if file.kind == "Kustomization" then
        for _, name in ipairs(file.resources) do
          listed["etc/kubernetes/" .. name] = true
        end
      elseif file.kind ~= "Namespace" then
        assert.equal("maru", file.metadata.namespace, file.kind)
      end
    end
    for _, path in ipairs(list("etc/kubernetes/*.yaml")) do
      local template = path:find("example") or path:find("kustomization") or path:find("secrets%.yaml$")
      assert.truthy(listed[path] or template, path .. " is not in kustomization.yaml")
    end
    assert.truthy(listed["etc/kubernetes/secrets.yaml"])
  end)
end)

describe("the Dockerfile", function()
  --- Files below `dir` that a COPY of it takes; a subset of Docker's rules that .dockerignore keeps to.
  local function copied(dir, ignored)
    local found = {}
    for path in server.shell("cd " .. dir .. " && find . -type f | sed 's|^./||'"):gmatch("[^\n]+") do
      local left_out = false
      for _, pattern in ipairs(ignored) do
        local plain = pattern:gsub("^%*%*/", ""):gsub("%p", "%%%0"):gsub("%%%*", "[^/]*")
        local front = pattern:find("^%*%*/") and "/" or "^/"
        left_out = left_out or ("/" .. path .. "/"):find(front .. plain .. "/") ~= nil
      end
      if not left_out then
        found[#found + 1] = path
      end
    end
    table.sort(found)
    return found
  end

  it("takes no secret into the image, nor what this machine built", function()
    local ignored, dir = {}, server.make_dir()
    finally(function()
      server.shell("rm -rf " .. dir)
    end)
    for line in (server.read_file(".dockerignore") or ""):gmatch("[^\n]+") do
      assert.is_nil(line:find("^!"), "this test does not know exceptions")
      if not line:find("^#") then
        ignored[#ignored + 1] = line
      end
    end
    local made = { "build/release/CMakeCache.txt", "node_modules/preact/package.json", "state/admin.token",
      ".git/config", "etc/kubernetes/secrets.yaml", "core/main.o" }
    local kept = { "core/main.c", "etc/kubernetes/secrets.example.yaml", "etc/secrets.sh", "plugins/p/state.lua" }
    for _, paths in ipairs({ made, kept }) do
      for _, path in ipairs(paths) do
        server.shell("mkdir -p " .. dir .. "/" .. path:match("^(.*)/"))
        server.write_file(dir .. "/" .. path, "x")
      end
    end
    assert.equal(0, select(2, server.shell("etc/secrets.sh " .. dir .. "/etc/secrets")))
    assert.same(kept, copied(dir, ignored))
  end)

  it("installs every library that the program links", function()
    local image = server.read_file("Dockerfile")
    local runs = image:match("\nFROM [^\n]+\nRUN (.-)\nCOPY")
    local everywhere = { libc6 = true, zlib1g = true } -- all others depend on them
    local needed = server.shell("readelf -d " .. server.binary())
    local count = 0
    for library in needed:gmatch("%(NEEDED%)[^%[]*%[([^%]]+)%]") do
      local path = server.shell(("readlink -f $(ldconfig -p | awk '$1 == \"%s\" { print $NF; exit }')"):format(library))
      path = path:gsub("%s+$", "")
      local owner = server.shell(("dpkg -S %s 2>/dev/null || dpkg -S %s"):format(path, (path:gsub("^/usr", ""))))
      local package = owner:match("^([^:]+):")
      assert.truthy(package, library .. ": " .. owner)
      assert.truthy(everywhere[package] or (" " .. runs .. " "):find("[%s]" .. package:gsub("%p", "%%%0") .. "[%s]"),
        library .. " needs " .. package)
      count = count + 1
    end
    assert.truthy(count > 10, needed)
  end)
end)
