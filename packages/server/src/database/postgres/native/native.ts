/** The migration to native types, for a pool of connections. */
import type { NativeTypes } from '../../schema/migration.ts';
import type { Statements } from '../statements.ts';
import { convert } from './convert.ts';
import { copyWhileServing, isLargeLibrary } from './online.ts';

export function nativeTypesFor(statements: Statements): NativeTypes {
  return {
    isLarge: isLargeLibrary,
    copy: copyWhileServing,
    async convert(trx) {
      await convert(trx);
      statements.forget();
    },
  };
}
