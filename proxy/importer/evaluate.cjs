// Evaluates a dev server's configuration and tells its proxy entries: evaluate.cjs FILE RESULT.
// Runs in a Node of its own. Modules of other people are not loaded: `anything` stands in for them, and network and
// process modules are among those. Functions are run with recording stand-ins, to see what they do.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const { createRequire } = require('node:module');
const { entriesOf } = require('./entries.cjs');

const [file, resultFile] = process.argv.slice(2);
const sources = [];
const asked = new Set();
const loaded = new Map();
const HARMLESS = new Set(['assert', 'buffer', 'events', 'os', 'path', 'querystring', 'string_decoder', 'url', 'util']);
const stubs = new WeakMap();

class Unusable extends Error {
  constructor(message, where) {
    super(message);
    this.where = where;
  }
}

// Whatever one does with it, it goes on being nothing in particular.
function anything(name) {
  const stub = new Proxy(function () {}, {
    get(target, key) {
      if (key === Symbol.toPrimitive) return () => '';
      if (key === Symbol.iterator) return function* () {};
      if (key === 'then' || typeof key === 'symbol') return undefined;
      if (key === 'default') return stub;
      if (key === 'prototype') return target.prototype;
      return Object.hasOwn(KNOWN, key) ? KNOWN[key] : anything(`${name}.${key}`);
    },
    apply: () => anything(`${name}()`),
    construct: () => anything(`new ${name}`),
  });
  stubs.set(stub, name);
  return stub;
}

const isPlain = (value) => value !== null && typeof value === 'object' && !Array.isArray(value) && !stubs.has(value);

function merged(...configs) {
  return configs.flat().filter(isPlain).reduce((below, above) => {
    const result = { ...below };
    for (const [key, value] of Object.entries(above)) {
      if (isPlain(result[key]) && isPlain(value)) result[key] = merged(result[key], value);
      else if (Array.isArray(result[key]) && Array.isArray(value)) result[key] = [...result[key], ...value];
      else result[key] = value;
    }
    return result;
  }, {});
}

// As vite reads them; what the environment says wins.
function loadEnv(mode, folder, prefixes = 'VITE_') {
  const found = {};
  for (const name of ['.env', '.env.local', `.env.${mode}`, `.env.${mode}.local`]) {
    let text = '';
    try {
      text = fs.readFileSync(path.resolve(folder || path.dirname(file), name), 'utf8');
    } catch {
      continue;
    }
    for (const [, key, value] of text.matchAll(/^\s*(?:export\s+)?([\w.-]+)\s*=\s*(.*?)\s*$/gm)) {
      found[key] = value.replace(/^(['"])(.*)\1$/, '$2');
    }
  }
  const wanted = [prefixes].flat();
  const named = Object.entries({ ...found, ...process.env }).filter(([key]) => wanted.some((p) => key.startsWith(p)));
  return watched(Object.fromEntries(named));
}

// Remembers which names are asked for that are not set.
function watched(environment) {
  return new Proxy(environment, {
    get(target, key) {
      if (typeof key === 'string' && !(key in target) && key !== 'then') asked.add(key);
      return target[key];
    },
  });
}

function middleware(...given) {
  const [context, options] = given.length > 1 ? given : [undefined, given[0]];
  const at = /evaluate\.cjs|node:/;
  const frame = new Error().stack.split('\n').slice(2).find((line) => !at.test(line));
  const [, where, line] = frame?.match(/\(?([^()\s]+):(\d+):\d+\)?$/) ?? [];
  const made = () => {};
  made.proxy = { context, options: isPlain(options) ? options : { target: options }, file: where, line: Number(line) || null };
  return made;
}

function responseInterceptor() {
  const made = function responseInterceptor() {};
  made.readsWhole = true;
  return made;
}

const identity = (config) => config;
const KNOWN = {
  defineConfig: identity,
  defineConfigWithTheme: identity,
  merge: merged,
  mergeConfig: merged,
  loadEnv,
  createProxyMiddleware: middleware,
  legacyCreateProxyMiddleware: middleware,
  responseInterceptor,
};

function foreign(name) {
  const bare = name.replace(/^node:/, '');
  if (HARMLESS.has(bare) || bare === 'path/posix') return require(bare);
  if (bare === 'fs' || bare === 'fs/promises') return reading();
  if (bare === 'process') return process;
  if (bare === 'http-proxy-middleware') {
    return Object.assign((...given) => middleware(...given), { ...KNOWN, default: middleware, fixRequestBody() {} });
  }
  if (bare === 'webpack-merge') return Object.assign((...given) => merged(...given), { merge: merged, default: merged });
  return anything(name);
}

// Files may be read, and none written.
function reading() {
  const allowed = ['readFileSync', 'existsSync', 'statSync', 'readdirSync', 'realpathSync'];
  const stub = anything('fs');
  return new Proxy(stub, { get: (target, key) => (allowed.includes(key) ? fs[key] : stub[key]) });
}

// Imports and exports of a module as what a function can do; every line stays where it is.
function asFunction(text) {
  const lines = (matched) => '\n'.repeat(matched.split('\n').length - 1);
  const names = (list) => list.replace(/\btype\s+\w+(\s+as\s+\w+)?\s*,?/g, '').replace(/\s+as\s+/g, ': ').replace(/\n/g, ' ');
  return text
    .replace(/^[ \t]*import\s+type\s[^;'"]*['"][^'"]+['"];?/gm, lines)
    .replace(/^[ \t]*import\s+([^;'"()]+?)\s+from\s*(['"][^'"]+['"])(?:\s+(?:with|assert)\s*\{[^}]*\})?;?/gm, (all, what, from) => {
      const parts = [];
      const [, whole, , rest] = what.match(/^([\w$]+)?\s*(,)?\s*([\s\S]*)$/);
      if (whole) parts.push(`const ${whole} = __default(require(${from}));`);
      const [, space] = rest.match(/^\*\s*as\s+([\w$]+)$/) ?? [];
      if (space) parts.push(`const ${space} = require(${from});`);
      else if (rest) parts.push(`const ${names(rest)} = require(${from});`);
      return parts.join(' ') + lines(all);
    })
    .replace(/^[ \t]*import\s*(['"][^'"]+['"]);?/gm, 'require($1);')
    .replace(/^([ \t]*)export\s+default\s+/gm, '$1module.exports.default = ')
    .replace(/^([ \t]*)export\s+(?=(?:const|let|var)\s+([\w$]+))/gm, '$1')
    .replace(/^([ \t]*)export\s+((?:async\s+)?function\s+([\w$]+))/gm, '$1module.exports.$3 = $3; $2')
    .replace(/^[ \t]*export\s+(?:type|interface)\b/gm, '// ')
    .replace(/\bimport\.meta\b/g, '__meta')
    .replace(/\bimport\s*\(/g, '__import(');
}

function exportedNames(text) {
  const constants = [...text.matchAll(/^[ \t]*export\s+(?:const|let|var)\s+([\w$]+)/gm)].map((match) => match[1]);
  return constants.map((name) => `\nmodule.exports.${name} = ${name};`).join('');
}

// TypeScript without its types: by Node itself, or by a compiler of the project.
function withoutTypes(name, text) {
  const { stripTypeScriptTypes } = require('node:module');
  try {
    if (stripTypeScriptTypes) return stripTypeScriptTypes(text);
  } catch {
    // It cannot do enums and the like; a compiler can.
  }
  const own = createRequire(name);
  for (const [compiler, run] of [['typescript', byTypescript], ['esbuild', byEsbuild]]) {
    let module;
    try {
      module = own(compiler);
    } catch {
      continue;
    }
    const plain = run(module, text);
    if (plain !== undefined) return plain;
  }
  throw new Unusable('this TypeScript needs Node 22.13 or later, or typescript or esbuild in the project', { file: name });
}

// From version 7 on it has no such function.
const byTypescript = (compiler, text) =>
  compiler.transpileModule?.(text, { compilerOptions: { target: 'es2022', module: 'esnext' } }).outputText;
const byEsbuild = (compiler, text) => compiler.transformSync?.(text, { loader: 'ts' }).code;

function compiled(name, text) {
  const parameters = ['module', 'exports', 'require', '__filename', '__dirname', '__default', '__import', '__meta'];
  const compile = (code) => vm.compileFunction(asFunction(code) + exportedNames(code), parameters, { filename: name });
  const waits = (code) => compile(`return (async () => { ${code}\n})()`);
  const js = (code) => {
    try {
      return compile(code);
    } catch (error) {
      if (/\bawait\b/.test(error.message)) return waits(code);
      throw error;
    }
  };
  if (!/\.[cm]?tsx?$/.test(name)) return [js(text), text];
  try {
    return [js(text), text]; // most are plain JavaScript, and so keep their lines
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const plain = withoutTypes(name, text);
  return [js(plain), plain];
}

function load(name) {
  if (loaded.has(name)) return loaded.get(name).exports;
  const text = fs.readFileSync(name, 'utf8').replace(/^\ufeff/, '').replace(/^#!/, '//');
  const module = { exports: {} };
  loaded.set(name, module);
  if (name.endsWith('.json')) return (module.exports = JSON.parse(text));
  const [run, plain] = compiled(name, text);
  sources.push({ file: name, text: plain, isOriginal: plain === text });
  const own = createRequire(name);
  const requires = Object.assign((wanted) => (/^[./]/.test(wanted) ? load(found(own, wanted, name)) : foreign(wanted)), {
    resolve: (wanted) => wanted,
  });
  const isDefault = (given) => given?.default ?? given;
  const imports = async (wanted) => {
    const given = requires(wanted);
    return isPlain(given) ? { default: given, ...given } : given;
  };
  const url = require('node:url').pathToFileURL(name).href;
  const meta = { url, dirname: path.dirname(name), filename: name, env: watched({ ...process.env }) };
  const result = run(module, module.exports, requires, name, path.dirname(name), isDefault, imports, meta);
  if (result instanceof Promise) module.waits = result;
  return module.exports;
}

function found(own, wanted, from) {
  for (const end of ['', '.ts', '.mts', '.cts', '.tsx', '/index.ts']) {
    try {
      return own.resolve(wanted + end);
    } catch {
      continue;
    }
  }
  throw new Unusable(`cannot find ${wanted}`, { file: from, line: lineWith(from, wanted) });
}

function lineWith(name, text) {
  const at = fs.readFileSync(name, 'utf8').indexOf(text);
  return at < 0 ? null : fs.readFileSync(name, 'utf8').slice(0, at).split('\n').length;
}

function placeOf(error) {
  if (error.where) return error.where;
  const at = String(error.stack).match(/^(?!node:)(\/[^\n]*?|[A-Z]:[^\n]*?):(\d+)\n/);
  const frame = String(error.stack).split('\n').map((line) => line.match(/\(?((?:\/|[A-Z]:)[^()]*?):(\d+):\d+\)?$/));
  const ours = (name) => sources.some((source) => source.file === name) || loaded.has(name);
  const match = at && ours(at[1]) ? at : frame.find((one) => one && ours(one[1]));
  return match ? { file: match[1], line: Number(match[2]) } : { file };
}

async function main() {
  process.env = watched({ ...process.env });
  globalThis.fetch = async () => {
    throw new Error('there is no network while a configuration is imported');
  };
  console.log = console.info = console.debug = console.error;
  const module = load(file);
  await loaded.get(file).waits;
  const config = module?.default ?? loaded.get(file).exports;
  return entriesOf(config?.default ?? config, { file, sources, stubs, isPlain, Unusable });
}

main()
  .then((result) => ({ ...result, unset: [...asked] }))
  .catch((error) => ({ error: String(error?.message ?? error).split('\n')[0], ...(error ? placeOf(error) : { file }) }))
  .then((result) => {
    fs.writeFileSync(resultFile, JSON.stringify(result));
    process.exit(0);
  });
