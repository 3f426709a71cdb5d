/** Ids that stand for parts of pictures in prompts and histories: above all vocabularies. */
export const FIRST_PICTURE_TOKEN = 2 ** 31;
export const isPictureToken = (id: number): boolean => id >= FIRST_PICTURE_TOKEN;
