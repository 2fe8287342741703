import { iComet } from './icomet';

export * from './index';

// Pages that were written for icomet.js know this name.
(globalThis as { iComet?: typeof iComet }).iComet = iComet;
