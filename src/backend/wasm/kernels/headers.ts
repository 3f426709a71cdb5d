/**
 * Reads the structs, enums and constants of C headers, which are their only declaration: TypeScript writes fields by
 * name at the offsets found here, and clang checks these offsets (build.ts). A name of C in snake_case is one of
 * TypeScript in camelCase. Members of an enum become lower-case before: SHORT_CONV is shortConv.
 */

export interface Field {
  /** in C */
  name: string;
  /** u32, f32, f64, u64 (pointers of a 64-bit target), or the name of a struct */
  type: string;
  /** bytes from the beginning of the struct */
  offset: number;
}

export interface Struct {
  fields: Field[];
  bytes: number;
  alignment: number;
}

export interface Declarations {
  structs: Map<string, Struct>;
  /** members and their values, by the name of the enum */
  enums: Map<string, Record<string, number>>;
  /** whole numbers of #define */
  constants: Map<string, number>;
}

const SCALARS: Record<string, string> = { uint32_t: 'u32', float: 'f32', double: 'f64' };

const camelCase = (name: string): string => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
const roundUp = (bytes: number, to: number): number => Math.ceil(bytes / to) * to;

/**
 * @param pointerBytes 4 for wasm32, 8 for wasm64
 * @throws Error for a declaration in a form that the kernels do not use so far
 */
export function readDeclarations(text: string, pointerBytes: 4 | 8 = 4): Declarations {
  const code = text.replace(/\/\/.*$/gm, '');
  const structs = new Map<string, Struct>();
  const sizeOf = (type: string): Pick<Struct, 'bytes' | 'alignment'> => {
    const bytes = type.endsWith('64') ? 8 : 4;
    return structs.get(type) ?? { bytes, alignment: bytes };
  };

  for (const [, body, name] of code.matchAll(/typedef struct \{([^}]*)\} (\w+);/g)) {
    const struct: Struct = { fields: [], bytes: 0, alignment: 4 };
    for (const declaration of body.split(';').slice(0, -1)) {
      const [, aligned = 0, type, pointer, names] =
        /^(?:_Alignas\((\d+)\))?\s*(\w+)\s*([*\s]*)(\w[\w\s,]*)$/.exec(declaration.replace(/\bconst\b/g, '').trim()) ??
        [];
      const known = pointer?.includes('*') ? `u${8 * pointerBytes}` : structs.has(type) ? type : SCALARS[type];
      if (!known || (pointer.includes('*') && names.includes(',')))
        throw new Error(`A field of ${name} has a form that headers.ts does not read: ${declaration.trim()}`);
      const size = sizeOf(known);
      const alignment = Math.max(size.alignment, Number(aligned));
      for (const field of names.split(',')) {
        const offset = roundUp(struct.bytes, alignment);
        struct.fields.push({ name: field.trim(), type: known, offset });
        struct.bytes = offset + size.bytes;
      }
      struct.alignment = Math.max(struct.alignment, alignment);
    }
    struct.bytes = roundUp(struct.bytes, struct.alignment);
    structs.set(name, struct);
  }

  const enums = new Map<string, Record<string, number>>();
  for (const [, members, name] of code.matchAll(/typedef enum \{([^}]*)\} (\w+);/g)) {
    // with #ifdef the builds of the kernels would not agree
    if (/[^\w\s,]/.test(members))
      throw new Error(`The enum ${name} has a form that headers.ts does not read: ${members.trim()}`);
    enums.set(name, Object.fromEntries(members.split(',').map((member, value) => [member.trim(), value])));
  }
  const constants = new Map(
    Array.from(code.matchAll(/^ *#define (\w+) (\d+) *$/gm), ([, name, value]) => [name, Number(value)]),
  );
  return { structs, enums, constants };
}

/** A struct in the form of src/backend/struct.ts. */
export function structText({ fields, bytes }: Struct): string {
  const words = Array.from({ length: bytes / 4 }, () => '');
  for (const { name, type, offset } of fields) words[offset / 4] = camelCase(name) + (type === 'u32' ? '' : `:${type}`);
  return words.join();
}

/** An ES module that exports all declarations under their names; structs as texts. */
export function declarationsModule({ structs, enums, constants }: Declarations): string {
  const members = (values: Record<string, number>): object =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [camelCase(name.toLowerCase()), value]));
  const exports = [
    ...Array.from(structs, ([name, struct]) => [name, structText(struct)] as const),
    ...Array.from(enums, ([name, values]) => [name, members(values)] as const),
    ...constants,
  ];
  return exports.map(([name, value]) => `export const ${name} = ${JSON.stringify(value)};\n`).join('');
}

/** C code that compiles only if the compiler lays out the structs as `readDeclarations` does. */
export function layoutAssertions({ structs }: Declarations): string {
  const lines = Array.from(structs, ([name, { fields, bytes }]) => [
    `_Static_assert(sizeof(${name}) == ${bytes}, "headers.ts: size of ${name}");`,
    ...fields.map(
      (field) =>
        `_Static_assert(__builtin_offsetof(${name}, ${field.name}) == ${field.offset}, "headers.ts: ${name}.${field.name}");`,
    ),
  ]);
  return lines.flat().join('\n');
}
