/** Reads where an image is used. products.ts and line-items.ts write the uses. */
import type { Kysely } from 'kysely';
import type { LineItem } from '../../catalog/line-items.ts';
import type { ProductContent } from '../../catalog/product.ts';
import {
  type ImageUsage,
  type LineItemUse,
  MAX_LISTED_USES,
  type NamedPlace,
  type OptionUse,
  type ProductUse,
} from '../../images/usage.ts';
import { NO_INDEX, type UseKind } from '../schema/catalog-tables.ts';
import type { Schema } from '../schema/tables.ts';

/** The uses of the image, newest first. An unknown image has none. */
export async function readUsage(db: Kysely<Schema>, accountID: string, imageID: string): Promise<ImageUsage> {
  const uses = db
    .selectFrom('image_uses')
    .where('image_uses.account_id', '=', accountID)
    .where('image_uses.image_id', '=', imageID);
  const counts = await uses
    .select(({ fn }) => ['kind', fn.countAll<number>().as('count')])
    .groupBy('kind')
    .execute();
  const total = (kind: UseKind) => counts.find((row) => row.kind === kind)?.count ?? 0;
  const newest = (kind: UseKind) =>
    uses
      .where('kind', '=', kind)
      .orderBy('owner_sequence', 'desc')
      .orderBy('outer_index')
      .orderBy('inner_index')
      .limit(MAX_LISTED_USES);
  const byProducts = (kind: UseKind) =>
    newest(kind)
      .innerJoin('products', (join) =>
        join
          .onRef('products.account_id', '=', 'image_uses.account_id')
          .onRef('products.sequence', '=', 'image_uses.owner_sequence'),
      )
      .select(['products.product_id', 'products.content', 'outer_index', 'inner_index'])
      .execute();

  const products = (await byProducts('product')).map(({ product_id, content }): ProductUse => {
    return { productID: product_id, title: (JSON.parse(content) as ProductContent).title };
  });
  const options = (await byProducts('option')).map((row): OptionUse => {
    const { title, optionGroups } = JSON.parse(row.content) as ProductContent;
    const group = optionGroups[row.outer_index];
    return {
      productID: row.product_id,
      title,
      optionGroup: place(row.outer_index, group),
      option: place(row.inner_index, group?.options[row.inner_index]),
    };
  });
  const sets = await newest('line-item')
    .innerJoin('line_items', (join) =>
      join
        .onRef('line_items.account_id', '=', 'image_uses.account_id')
        .onRef('line_items.sequence', '=', 'image_uses.owner_sequence'),
    )
    .select([
      'line_items.line_items_id',
      'line_items.content',
      'line_items.created_on',
      'outer_index',
      'inner_index',
    ])
    .execute();
  const lineItems = sets.map((row): LineItemUse => {
    const item = (JSON.parse(row.content) as LineItem[])[row.outer_index];
    const option = item?.options[row.inner_index];
    return {
      lineItemsID: row.line_items_id,
      createdOn: new Date(row.created_on),
      item: place(row.outer_index, item),
      ...(row.inner_index !== NO_INDEX && { option: place(row.inner_index, option) }),
    };
  });
  return {
    imageID,
    products,
    options,
    lineItems,
    totals: { products: total('product'), options: total('option'), lineItems: total('line-item') },
  };
}

function place(index: number, element: { readonly name: string } | undefined): NamedPlace {
  return { index, name: element?.name ?? '' };
}
