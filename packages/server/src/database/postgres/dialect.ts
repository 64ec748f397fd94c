/**
 * The dialect of Kysely for PostgreSQL. The tables of a library have a namespace of their own, so each
 * statement names it.
 */
import { PostgresQueryCompiler, type SchemableIdentifierNode } from 'kysely';
import { TABLE_NAMES } from '../schema/table-names.ts';
import { RowLockDialect } from './migrating.ts';

/**
 * The namespace of the tables with native types. A version that binds texts and numbers does not find them
 * there: it fails, instead of writing texts into columns of bytes. So no search path may contain it. Its name
 * must not be the name of a user, because the default search path contains the namespace of the user.
 */
export const NAMESPACE = 'vitrine_records';

export class LibraryDialect extends RowLockDialect {
  override createQueryCompiler(): PostgresQueryCompiler {
    return new LibraryQueryCompiler();
  }
}

class LibraryQueryCompiler extends PostgresQueryCompiler {
  protected override visitSchemableIdentifier(node: SchemableIdentifierNode): void {
    if (node.schema === undefined && TABLE_NAMES.has(node.identifier.name)) {
      this.append(`"${NAMESPACE}".`);
    }
    super.visitSchemableIdentifier(node);
  }
}
