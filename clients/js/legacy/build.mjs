// Builds the legacy script: node legacy/build.mjs OUT
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { minify } from 'terser';

const source = path.join(path.dirname(fileURLToPath(import.meta.url)), 'icomet-legacy.js');

export async function buildLegacy(out) {
    const { code } = await minify(readFileSync(source, 'utf8'), { ecma: 5, ie8: true, safari10: true, toplevel: false });
    writeFileSync(out, `${code}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildLegacy(process.argv[2]);
