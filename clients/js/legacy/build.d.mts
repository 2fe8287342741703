/** Builds the legacy script, minified, into a file. */
export function buildLegacy(out: string): Promise<void>;
