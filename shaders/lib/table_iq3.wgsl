// IQ3_S: -15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15
const TABLE = vec4<u32>(0xf7f5f3f1u, 0xfffdfbf9u, 0x07050301u, 0x0f0d0b09u);
