#!/usr/bin/python3
"""HTTP peers, interleaved. usage: bench.py run [--reps 3] [--dur 8] peers... | report"""
import sys, os, json, re, subprocess, time, argparse, urllib.request, ssl
sys.path.insert(0, '@ROOT@/lib')
from benchlib import *
H = ROOT + '/http'
WL = {'A': '/hello', 'B': '/api/items/42?fields=a', 'C': '/api/v1/inference/submit', 'D': '/static/file10k.txt', 'E': '/cached'}

def us(s):
    m = re.match(r'([\d.]+)(us|ms|s|m)$', s); return float(m[1]) * {'us': 1, 'ms': 1e3, 's': 1e6, 'm': 6e7}[m[2]]

def measured(cmd, server_pid, timeout):
    """run a client; returns stdout, wall, server cpu s, client cpu s, foreign cpu fraction, steal"""
    a = cpu_total(); s0 = tree_cpu(server_pid); t0 = time.time()
    import resource
    r0 = resource.getrusage(resource.RUSAGE_CHILDREN)
    p = subprocess.run(cmd, capture_output=True, text=True, timeout=timeout)
    wall = time.time() - t0; s1 = tree_cpu(server_pid); b = cpu_total()
    r1 = resource.getrusage(resource.RUSAGE_CHILDREN)
    cl = (r1.ru_utime + r1.ru_stime) - (r0.ru_utime + r0.ru_stime)
    tot = sum(b[k]-a[k] for k in ('busy', 'steal', 'idle'))
    return p.stdout + p.stderr, dict(wall=wall, srv_cpu=s1-s0, cli_cpu=cl, foreign=max(0, (b['busy']-a['busy']) - (s1-s0) - cl)/wall, steal=(b['steal']-a['steal'])/wall, machine=(b['busy']-a['busy'])/tot)

def wrk(url, c, dur, post, pid):
    cmd = ['wrk', '-t1', '-c%d' % c, '-d%ds' % dur, '--latency'] + (['-s', H+'/common/post.lua'] if post else []) + [url]
    out, m = measured(cmd, pid, dur + 10)
    n = int(re.search(r'(\d+) requests in', out)[1])
    bad = re.search(r'Non-2xx or 3xx responses: (\d+)', out); sock = re.search(r'Socket errors: (.*)', out)
    return dict(m, rps=float(re.search(r'Requests/sec:\s+([\d.]+)', out)[1]), p50=us(re.search(r'\n\s+50%\s+(\S+)', out)[1]), p99=us(re.search(r'\n\s+99%\s+(\S+)', out)[1]),
                n=n, bad=int(bad[1]) if bad else 0, sock=sock[1] if sock else '', cpu_us=m['srv_cpu']*1e6/max(n, 1), cmd=' '.join(cmd))

def h2load(url, dur, post, pid):
    base = ['h2load', '-t1', '-c8', '-m32'] + (['-d', H+'/common/payload.json', '-H', 'content-type: application/json'] if post else [])
    cmd = base + ['-D', str(dur), url]
    out, m = measured(cmd, pid, dur + 10)
    q = re.search(r'requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored', out)
    s = re.search(r'status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx', out)
    n = int(q[3]); rps = float(re.search(r'finished in [\d.]+\w+, ([\d.]+) req/s', out)[1])
    lf = '/dev/shm/bench_h2.log'
    try: os.unlink(lf)
    except OSError: pass
    subprocess.run(base + ['-D', '2', '--log-file', lf, url], capture_output=True, timeout=15)
    lat = sorted(int(l.split('\t')[2]) for l in open(lf)); os.unlink(lf)
    return dict(m, rps=rps, p50=lat[len(lat)//2], p99=lat[len(lat)*99//100], n=n, bad=int(q[4])+int(q[5])+int(s[3])+int(s[4]), sock='', cpu_us=m['srv_cpu']*1e6/max(n, 1), cmd=' '.join(cmd))

def check(base, wl):
    ctx = ssl.create_default_context(); ctx.check_hostname = False; ctx.verify_mode = ssl.CERT_NONE
    r = urllib.request.Request(base + WL[wl])
    if wl == 'C': r.data = open(H+'/common/payload.json', 'rb').read(); r.add_header('content-type', 'application/json')
    b = urllib.request.urlopen(r, context=ctx, timeout=5); body = b.read()
    if wl in 'AE': assert json.loads(body) == {"message": "hello, world"}
    if wl == 'B': assert json.loads(body) == json.load(open(H+'/common/expect_items42.json'))
    if wl == 'C': assert b.status == 202 and json.loads(body)['status'] == 'queued' and len(json.loads(body)['job_id']) >= 16
    if wl == 'D': assert len(body) == 10240

def run(peers, reps, dur, wls):
    os.makedirs(ROOT+'/data', exist_ok=True)
    for rep in range(reps):
        order = peers[rep % len(peers):] + peers[:rep % len(peers)]
        for name in order:
            d = H + '/' + name; P = json.load(open(d + '/peer.json'))
            assert_free(int(P['h1'].rsplit(':', 1)[1]))
            srv = start(P['start'].split(), cwd=d, log=ROOT+'/data/%s.log' % name)
            try:
                port = int(P['h1'].rsplit(':', 1)[1]); wait_port(port); time.sleep(1.0)
                _, idle_pss = tree_mem(srv.pid)
                for wl in [w for w in P['workloads'] if w in wls]:
                    url = P['h1'] + WL[wl]; post = wl == 'C'; check(P['h1'], wl)
                    wrk(url, 64, 2, post, srv.pid)                     # warm-up
                    r = quietly(lambda: wrk(url, 64, dur, post, srv.pid)); rss, pss = tree_mem(srv.pid)
                    save('http', dict(peer=name, wl=wl, proto='h1', rep=rep, rss=rss, pss=pss, idle_pss=idle_pss, **r))
                    r1 = quietly(lambda: wrk(url, 1, 2, post, srv.pid), tries=2)
                    save('http', dict(peer=name, wl=wl, proto='h1c1', rep=rep, rss=rss, pss=pss, idle_pss=idle_pss, **r1))
                    print(time.strftime('%T'), rep, name, wl, 'h1', fmt(r['rps']), 'p50us', r['p50'], 'p99us', r['p99'], 'srv cpu us/req %.1f' % r['cpu_us'], 'cli %.2f foreign %.2f steal %.2f' % (r['cli_cpu']/r['wall'], r['foreign'], r['steal']), 'c1 p50', r1['p50'], 'tries', r['tries'], 'bad', r['bad'], r['sock'], 'pss %.0f' % pss, flush=True)
                    for proto, key in (('h2', 'h2'), ('h2c', 'h2c')):
                        if not P.get(key): continue
                        url2 = P[key] + WL[wl]
                        subprocess.run(['h2load', '-t1', '-c8', '-m32', '-D', '1'] + (['-d', H+'/common/payload.json', '-H', 'content-type: application/json'] if post else []) + [url2], capture_output=True, timeout=12)
                        r = quietly(lambda: h2load(url2, dur, post, srv.pid)); rss, pss = tree_mem(srv.pid)
                        save('http', dict(peer=name, wl=wl, proto=proto, rep=rep, rss=rss, pss=pss, idle_pss=idle_pss, **r))
                        print(time.strftime('%T'), rep, name, wl, proto, fmt(r['rps']), 'p50us', r['p50'], 'p99us', r['p99'], 'srv cpu us/req %.1f' % r['cpu_us'], 'cli %.2f foreign %.2f steal %.2f' % (r['cli_cpu']/r['wall'], r['foreign'], r['steal']), 'tries', r['tries'], 'bad', r['bad'], flush=True)
            finally:
                stop(srv)

def compare():
    """One JSON object a line: maru against each peer, by server CPU per request and by rate; ratio > 1 = maru better."""
    R = load('http'); names = [n for n in dict.fromkeys(r['peer'] for r in R) if n != 'maru']
    def of(peer, wl, proto, key):
        rs = [r[key] for r in R if r['peer'] == peer and r['wl'] == wl and r['proto'] == proto]
        return (med(rs), len(rs)) if rs else (None, 0)
    for wl in WL:
        for proto in ('h1', 'h2'):
            for key, unit, less in (('cpu_us', 'us', True), ('rps', '1/s', False)):
                mine, runs = of('maru', wl, proto, key)
                if mine is None: continue
                for n in names:
                    theirs, _ = of(n, 'A' if wl == 'E' else wl, proto, key)
                    if not theirs: continue
                    ratio = theirs / mine if less else mine / theirs
                    print(json.dumps({'group': 'http', 'name': '%s %s %s' % (WL[wl], proto, 'server CPU per request' if less else 'requests per second'),
                        'value': round(mine, 3), 'unit': unit, 'peer': n, 'peer_value': round(theirs, 3), 'ratio': round(ratio, 2), 'runs': runs}))

def report(peers=None):
    R = load('http'); names = peers or list(dict.fromkeys(r['peer'] for r in R))
    for wl in 'ABCDE':
        for proto in ('h1', 'h2', 'h2c'):
            rows = []
            for n in names:
                rs = [r for r in R if r['peer'] == n and r['wl'] == wl and r['proto'] == proto]
                if not rs: continue
                c1 = [r for r in R if r['peer'] == n and r['wl'] == wl and r['proto'] == 'h1c1']
                rows.append([n, fmt(med([r['rps'] for r in rs])), fmt(spread([r['rps'] for r in rs]), 0)+'%', fmt(med([r['p50'] for r in rs])/1e3, 2), fmt(med([r['p99'] for r in rs])/1e3, 2),
                    fmt(med([r['cpu_us'] for r in rs]), 1), fmt(med([r['cli_cpu']/r['wall'] for r in rs])*100, 0)+'%', (fmt(med([r['p50'] for r in c1]), 0) if proto == 'h1' and c1 else ''),
                    fmt(med([r['rss'] for r in rs]), 0), fmt(med([r['pss'] for r in rs]), 0), str(sum(r['bad'] for r in rs)), str(len(rs)), str(sum(r['foreign']+r['steal'] > 0.12 for r in rs))])
            if rows:
                print('\n**%s %s** (%s)\n' % (wl, WL[wl], {'h1': 'HTTP/1.1 keep-alive, wrk -t1 -c64 -d8', 'h2': 'HTTP/2 over TLS, h2load -t1 -c8 -m32 -D8', 'h2c': 'HTTP/2 clear text, h2load -t1 -c8 -m32 -D8'}[proto]))
                table(['peer', 'req/s', 'spread', 'p50 ms', 'p99 ms', 'server CPU us/req', 'client core', 'c=1 p50 us', 'RSS MiB', 'PSS MiB', 'errors', 'n', 'disturbed'], rows)

if __name__ == '__main__':
    ap = argparse.ArgumentParser(); ap.add_argument('cmd'); ap.add_argument('peers', nargs='*'); ap.add_argument('--reps', type=int, default=3); ap.add_argument('--dur', type=int, default=8); ap.add_argument('--wl', default='ABCDE')
    a = ap.parse_intermixed_args()
    allp = ['maru', 'nginx-lua', 'h2o', 'fastify', 'fastapi']
    if a.cmd == 'run': run(a.peers or allp, a.reps, a.dur, a.wl)
    if a.cmd == 'json': compare()
    else: report(a.peers or None)
