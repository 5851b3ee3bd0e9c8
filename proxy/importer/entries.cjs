// What a configuration says about proxying, as JSON: entries, each with its contexts, options, rewrites and hooks.
'use strict';
const path = require('node:path');
const { hooksOf, rewritesOf } = require('./functions.cjs');

async function entriesOf(config, tools) {
  const kind = kindOf(tools.file, config);
  if (kind === 'cra') return { kind, ...(await craEntries(config, tools)) };
  const resolved = await settled(config, kind);
  const configs = [resolved].flat().filter((one) => one && typeof one === 'object');
  const all = configs.map((one) => configured(one, kind));
  const entries = [];
  for (const { proxy } of all) {
    for (const written of listed(proxy)) entries.push(await entry(written, kind, tools));
  }
  const server = all.map((one) => one.server).find(Boolean) ?? {};
  return { kind, entries: entries.filter(Boolean), compress: server.compress ?? null, extras: extras(server, tools) };
}

function kindOf(file, config) {
  const name = path.basename(file).toLowerCase();
  if (name.startsWith('setupproxy')) return 'cra';
  for (const kind of ['vite', 'vue', 'webpack', 'umi']) if (name.replace(/^\./, '').startsWith(kind)) return kind;
  if (config?.server?.proxy) return 'vite';
  if (config?.devServer) return 'webpack';
  return config?.proxy ? 'umi' : 'vite';
}

async function settled(config, kind) {
  let value = await config;
  if (Array.isArray(value)) return Promise.all(value.map((one) => settled(one, kind)));
  if (typeof value === 'function') {
    const given = kind === 'vite' ? [{ command: 'serve', mode: 'development', isSsrBuild: false, isPreview: false }] : [{}, { mode: 'development' }];
    value = await value(...given);
  }
  return value;
}

function configured(config, kind) {
  const server = kind === 'vite' ? config.server : kind === 'umi' ? config : config.devServer ?? config.configureWebpack?.devServer;
  return { server, proxy: server?.proxy };
}

// Both forms of every tool as [contexts, options].
function listed(proxy) {
  if (!proxy) return [];
  if (typeof proxy === 'string') return [{ contexts: ['/'], options: { target: proxy }, isWhole: true, isShort: true }];
  if (!Array.isArray(proxy)) {
    return Object.entries(proxy).map(([context, options]) => ({
      contexts: [context],
      options: typeof options === 'string' ? { target: options } : options,
      isShort: typeof options === 'string',
    }));
  }
  return proxy.map((one) => {
    const options = typeof one === 'function' ? one() : one;
    const { context, pathFilter, path: older, ...rest } = options ?? {};
    return { contexts: context ?? pathFilter ?? older ?? '/', options: rest };
  });
}

async function entry({ contexts, options, mount, place, isWhole, isShort }, kind, tools) {
  if (typeof options === 'function') options = options();
  if (!options || typeof options !== 'object') return null;
  const wanted = [contexts].flat();
  const first = wanted.find((one) => typeof one === 'string');
  const where = place ?? placeOfText(first, tools.sources) ?? {};
  const line = (name) => (isShort ? where.line ?? null : optionLine(name, where, tools.sources));
  const encoded = {};
  for (const [name, value] of Object.entries(options)) encoded[name] = { value: encode(value, tools), line: line(name) };
  return {
    contexts: wanted.map((context) => encode(context, tools)),
    options: encoded,
    mount: mount ?? null,
    isWhole: Boolean(isWhole),
    file: where.file ?? tools.file,
    line: where.line ?? null,
    rewrites: await rewritesOf(wanted, options, mount),
    hooks: await hooksOf(options, (fn) => lineOfFunction(fn, tools.sources)),
  };
}

async function craEntries(config, tools) {
  if (typeof config !== 'function') {
    throw new tools.Unusable('expected a function of the app to be exported', { file: tools.file });
  }
  const written = [];
  const use = (...given) => {
    const handlers = given.flat(3);
    const mounts = handlers.filter((one) => typeof one === 'string');
    for (const handler of handlers) {
      if (handler?.proxy) written.push(...mountedAt(handler.proxy, mounts));
    }
    return app;
  };
  const app = new Proxy({}, { get: (target, key) => (key === 'then' ? undefined : use) });
  await config(app);
  const entries = [];
  for (const one of written) entries.push(await entry(one, 'cra', tools));
  return { entries: entries.filter(Boolean), compress: null, extras: [] };
}

function mountedAt({ context, options, file, line }, mounts) {
  const { pathFilter, ...rest } = options;
  const contexts = context ?? pathFilter;
  const place = { file, line };
  if (!mounts.length) return [{ contexts: contexts ?? '/', options: rest, place }];
  return mounts.map((mount) => ({ contexts: contexts ?? mount, options: rest, mount, place }));
}

const EXTRAS = ['setupMiddlewares', 'onBeforeSetupMiddleware', 'onAfterSetupMiddleware', 'before', 'after', 'headers'];

function extras(server, tools) {
  return EXTRAS.filter((name) => server[name]).map((name) => ({
    name,
    value: encode(server[name], tools),
    line: optionLine(name, { file: tools.file, line: 1 }, tools.sources),
  }));
}

function encode(value, tools, depth = 0) {
  if (value === null || ['string', 'boolean', 'number'].includes(typeof value)) return value;
  if (value === undefined) return null;
  if (tools.stubs.has(value)) return { $stub: tools.stubs.get(value) };
  if (typeof value === 'function') return { $function: value.toString().slice(0, 400), readsWhole: Boolean(value.readsWhole) };
  if (value instanceof RegExp) return { $regexp: value.source, flags: value.flags };
  if (value instanceof URL) return value.href;
  if (typeof value !== 'object' || depth > 4) return { $stub: typeof value };
  if (Array.isArray(value)) return value.map((one) => encode(one, tools, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, encode(one, tools, depth + 1)]));
}

const lineAt = (text, at) => text.slice(0, at).split('\n').length;

function placeOfText(text, sources) {
  if (text === undefined) return null;
  for (const { file, text: source, isOriginal } of sources) {
    for (const quoted of [`'${text}'`, `"${text}"`, `\`${text}\``, `'${text.replace(/\\/g, '\\\\')}'`]) {
      const at = source.indexOf(quoted);
      if (at >= 0) return { file, line: isOriginal ? lineAt(source, at) : null };
    }
  }
  return null;
}

function optionLine(name, where, sources) {
  const source = sources.find((one) => one.file === where.file);
  if (!source?.isOriginal || !where.line) return null;
  const from = source.text.split('\n').slice(0, where.line - 1).join('\n').length;
  const found = source.text.slice(from).match(new RegExp(`(^|[^\\w.'"])['"]?${name}['"]?\\s*[:(,]`));
  return found ? lineAt(source.text, from + found.index + found[1].length) : null;
}

function lineOfFunction(fn, sources) {
  for (const { text, isOriginal } of sources) {
    const at = text.indexOf(fn.toString());
    if (at >= 0) return isOriginal ? lineAt(text, at) : null;
  }
  return null;
}

module.exports = { entriesOf };
