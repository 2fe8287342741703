// Builds dist/: ESM and CommonJS with types, the script for pages, and the legacy script.
import { build } from 'esbuild';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { rollup } from 'rollup';
import { dts } from 'rollup-plugin-dts';
import { buildLegacy } from './legacy/build.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(here, 'dist');
const common = { absWorkingDir: here, entryPoints: ['src/index.ts'], bundle: true, target: 'es2018', logLevel: 'warning' };

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await Promise.all([
    build({ ...common, format: 'esm', outfile: 'dist/icomet.mjs' }),
    build({ ...common, format: 'cjs', outfile: 'dist/icomet.cjs' }),
    build({ ...common, entryPoints: ['src/global.ts'], format: 'iife', globalName: 'icomet', minify: true, outfile: 'dist/icomet.min.js' }),
]);
await types();
await buildLegacy(path.join(dist, 'icomet-legacy.js'));

/** All declarations in one file, so that whoever resolves modules in whatever way finds them. */
async function types() {
    const bundle = await rollup({ input: path.join(here, 'src/index.ts'), plugins: [dts({ tsconfig: path.join(here, 'tsconfig.json') })] });
    await bundle.write({ file: path.join(dist, 'index.d.ts'), format: 'es' });
    await bundle.close();
    copyFileSync(path.join(dist, 'index.d.ts'), path.join(dist, 'index.d.cts'));
}
