/**
 * The events of an account: the changes of its images and products, for clients that follow them. The store
 * adds an event in the transaction of the change.
 */

/** Every type of event. The part before the dot is the kind of the subject. */
export const EVENT_TYPES = [
  'image.uploaded',
  'image.replaced',
  'image.described',
  'image.disabled',
  'image.enabled',
  'product.created',
  'product.updated',
  'product.disabled',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** The subject of an event. The rest of its record can be read by its ID, and may have changed since. */
export type EventData =
  | { readonly imageID: string; readonly publicID: string; readonly version: number }
  | { readonly productID: string };

/** An event to add. Its time is that of the change. */
export interface NewEvent {
  readonly type: EventType;
  readonly data: EventData;
}

/** One event of an account. */
export interface Event extends NewEvent {
  /**
   * Counts the events of one account: 1, 2, 3, without gaps, in the order of the commits. So a reader that
   * continues after the last number it saw misses no event.
   */
  readonly sequence: number;
  readonly createdOn: Date;
}
