// What the functions of an entry do, seen by running them: a rewrite on paths, a hook on a message that records.
'use strict';

const SPECIAL = /[\\^$.*+?()[\]{}|!]/;
const ASKED = 'http://asked.invalid';

// The path up to the first character that is not itself, at a segment boundary.
function literal(pattern) {
  const text = String(pattern).replace(/^\^/, '').replace(/\\\//g, '/').replace(/\\-/g, '-');
  const at = text.search(SPECIAL);
  const plain = at < 0 ? text : text.slice(0, at);
  const whole = at < 0 ? plain : plain.slice(0, plain.lastIndexOf('/') + 1);
  return whole.startsWith('/') ? whole.replace(/\/$/, '') : '';
}

function probes(base, more) {
  const found = new Set();
  for (const start of [base, ...more.filter((one) => one.startsWith(base))]) {
    for (const end of ['', '/', '/x', '/x/y.z', '/12/x', `/x${start}/z`]) found.add(start + end || '/');
  }
  return [...found];
}

// Runs a rewrite with every way to cut a string being recorded.
function recorded(rewrite, asked, calls) {
  const original = { replace: String.prototype.replace, replaceAll: String.prototype.replaceAll };
  for (const name of Object.keys(original)) {
    String.prototype[name] = function (pattern, replacement) {
      if (typeof replacement === 'string' && String(this) === asked) {
        const isRegExp = pattern instanceof RegExp;
        const text = isRegExp ? pattern.source : pattern;
        const flags = isRegExp ? pattern.flags : name === 'replaceAll' ? 'g' : '';
        const call = { pattern: String(text), flags, isText: !isRegExp, replacement };
        if (!calls.some((one) => JSON.stringify(one) === JSON.stringify(call))) calls.push(call);
      }
      return original[name].call(this, pattern, replacement);
    };
  }
  try {
    return rewrite(asked);
  } catch {
    return null;
  } finally {
    Object.assign(String.prototype, original);
  }
}

// http-proxy-middleware: the first rule that matches.
function byRules(rules) {
  const compiled = Object.entries(rules).map(([pattern, to]) => [new RegExp(pattern), to]);
  return (asked) => {
    const rule = compiled.find(([pattern]) => pattern.test(asked));
    return rule ? asked.replace(rule[0], rule[1]) : asked;
  };
}

async function rewritesOf(contexts, options, mount) {
  const written = options.rewrite ?? options.pathRewrite;
  if (!written) return [];
  const rules = typeof written === 'function' ? null : written;
  const rewrite = rules ? byRules(rules) : written;
  const patterns = rules ? Object.keys(rules) : [];
  const found = [];
  for (const context of contexts) {
    const base = typeof context === 'string' ? literal(context) : mount ?? '';
    const calls = patterns.map((pattern) => ({ pattern, flags: '', isText: false, replacement: String(rules[pattern]) }));
    for (const asked of probes(base, [])) recorded(rewrite, asked, calls);
    const more = [...patterns, ...calls.map((call) => call.pattern)].map(literal);
    const samples = [];
    for (const asked of probes(base, more)) {
      const given = await recorded(rewrite, asked, calls);
      samples.push([asked, typeof given === 'string' ? given.split('?')[0] : null]);
    }
    found.push({ samples, calls, rules: patterns.length });
  }
  return found;
}

// A message whose header changes are recorded, and whatever else is done to it.
function message(seen) {
  const set = (name, value) => {
    seen.set[String(name)] = Array.isArray(value) ? value.map(String) : String(value);
  };
  const removed = (name) => seen.removed.push(String(name));
  const fields = {
    'content-type': 'text/event-stream',
    'content-encoding': 'gzip',
    'cache-control': 'no-cache',
    'set-cookie': ['a=b; Secure'],
  };
  const headers = new Proxy(fields, {
    set: (target, name, value) => (set(name, value), true),
    deleteProperty: (target, name) => (removed(name), true),
  });
  const known = {
    headers,
    statusCode: 200,
    method: 'GET',
    setHeader: set,
    appendHeader: set,
    removeHeader: removed,
    header: (name, value) => (value === undefined ? ASKED : set(name, value)),
    set,
    getHeader: () => undefined,
    get: () => undefined,
    hasHeader: () => false,
    getHeaders: () => ({}),
  };
  return new Proxy(known, {
    get(target, name) {
      if (name in target || typeof name === 'symbol' || name === 'then') return target[name];
      return (...given) => {
        seen.touched.push(typeof given[0] === 'string' && name === 'on' ? `on ${given[0]}` : String(name));
        return known;
      };
    },
    set: (target, name) => (seen.touched.push(`${String(name)} =`), true),
  });
}

const asking = () => ({
  method: 'GET',
  url: '/asked',
  originalUrl: '/asked',
  path: '/asked',
  query: {},
  socket: {},
  headers: { host: 'asked.invalid', origin: ASKED, accept: 'text/event-stream', cookie: 'asked=invalid', authorization: ASKED },
  on() {},
  get: () => ASKED,
});

async function ran(name, direction, fn, lineOf) {
  const seen = { name, direction, line: lineOf(fn), set: {}, removed: [], touched: [], failed: null, readsWhole: Boolean(fn.readsWhole) };
  if (fn.readsWhole) return seen;
  const spare = { set: {}, removed: [], touched: [] };
  try {
    await (direction === 'request'
      ? fn(message(seen), asking(), message(spare), {})
      : fn(message(seen), asking(), message(seen), {}));
  } catch (error) {
    seen.failed = String(error?.message ?? error).split('\n')[0];
  }
  seen.touched.push(...spare.touched);
  return seen;
}

async function hooksOf(options, lineOf) {
  const hooks = [];
  const on = options.on ?? {};
  const written = [
    ['onProxyReq', 'request', options.onProxyReq],
    ['onProxyRes', 'response', options.onProxyRes],
    ['on.proxyReq', 'request', on.proxyReq],
    ['on.proxyRes', 'response', on.proxyRes],
  ];
  if (typeof options.configure === 'function') {
    const server = { on: (event, fn) => (written.push([`configure: ${event}`, event, fn]), server) };
    server.once = server.addListener = server.on;
    try {
      await options.configure(server, options);
    } catch (error) {
      hooks.push({ name: 'configure', direction: 'response', line: lineOf(options.configure), set: {}, removed: [], touched: [], failed: String(error.message) });
    }
  }
  const directions = { proxyReq: 'request', proxyRes: 'response' };
  for (const [name, direction, fn] of written) {
    const way = directions[direction] ?? direction;
    if (typeof fn === 'function' && (way === 'request' || way === 'response')) hooks.push(await ran(name, way, fn, lineOf));
  }
  return hooks;
}

module.exports = { hooksOf, rewritesOf };
