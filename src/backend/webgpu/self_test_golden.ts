/**
 * The expected results of the self test (self_test.ts), from the reference backend; self_test.test.ts compares them.
 */
import type { Dtype } from '../../tensor/dtype';

/** A weight format, or a plan for long prompts: `window` has attention with a window and gates. */
export type SelfTestCaseName = Dtype | 'long' | 'normAdd' | 'window' | 'experts';

/**
 * Two random projections of the logits, divided by their norm, after each prompt; and the tokens drawn after the last.
 */
export interface SelfTestOutput {
  projections: number[];
  drawn: number[];
}

export const SELF_TEST_GOLDEN: Record<SelfTestCaseName, SelfTestOutput> = {
  F32: {
    projections: [-0.7768, -0.2464, 0.3488, 0.2454, 0.6855, -1.3284],
    drawn: [3213, 1297, 3774, 524, 3381, 3434, 3527, 3362, 2222],
  },
  F16: {
    projections: [-0.3021, 0.1628, 0.7997, 0.0097, -0.6399, -0.4253],
    drawn: [2170, 1054, 4042, 1320, 4024, 3839, 3768, 2652, 2222],
  },
  BF16: {
    projections: [-1.1884, -0.6523, -1.2542, -0.2906, 0.359, 0.864],
    drawn: [1442, 2613, 2725, 1105, 4044, 3825, 3677, 2752, 2222],
  },
  Q4_0: {
    projections: [-0.6293, 0.4022, 0.2464, 0.4307, -0.0432, -0.1721],
    drawn: [1318, 209, 2949, 854, 3793, 3966, 3891, 1902, 2222],
  },
  Q4_1: {
    projections: [0.4689, -0.4347, 0.0237, -1.1747, 0.069, -0.6401],
    drawn: [3126, 3629, 3228, 3693, 3591, 3505, 3601, 2598, 2222],
  },
  Q5_0: {
    projections: [0.1466, 0.3357, -0.6689, 0.8795, -0.7036, 0.2951],
    drawn: [3391, 3571, 1006, 549, 3685, 3535, 3773, 2538, 2222],
  },
  Q5_1: {
    projections: [-0.7403, -0.7076, 0.7095, 0.2101, 0.3908, 0.9654],
    drawn: [3476, 1223, 3951, 2118, 4039, 4030, 3124, 2268, 2222],
  },
  Q8_0: {
    projections: [-0.5416, -0.181, -0.0254, 0.792, 0.0751, -0.6944],
    drawn: [1677, 785, 1976, 2324, 3257, 2937, 3654, 3166, 2222],
  },
  Q4_K: {
    projections: [-0.0863, -0.5404, -0.6251, 0.1709, -1.0949, -0.2474],
    drawn: [1530, 2976, 2360, 1035, 4016, 3995, 3540, 2768, 2222],
  },
  Q5_K: {
    projections: [1.0537, 0.5758, 0.6238, 0.8725, -0.2238, -0.3583],
    drawn: [858, 505, 1120, 3201, 3923, 3933, 3672, 2809, 2222],
  },
  Q6_K: {
    projections: [0.3433, 0.5236, -1.1041, -0.1436, -0.5392, -0.4562],
    drawn: [2275, 1692, 3348, 3515, 2048, 2460, 3166, 3311, 2222],
  },
  Q2_K: {
    projections: [-0.3038, 0.4357, 0.3142, -1.4492, 0.7949, -0.409],
    drawn: [3850, 1300, 677, 2076, 3926, 2658, 3980, 1212, 2222],
  },
  Q3_K: {
    projections: [0.4981, -0.8788, -0.4099, 0.3064, -0.4492, 1.1997],
    drawn: [1383, 1689, 2959, 2128, 3279, 4050, 2838, 1493, 2222],
  },
  IQ4_NL: {
    projections: [0.4346, 0.4781, -1.0458, -0.7622, -0.1773, -0.6752],
    drawn: [3288, 1734, 3568, 585, 3748, 4023, 4055, 3042, 2222],
  },
  IQ3_S: {
    projections: [0.1843, -0.5902, 0.1758, -0.3253, 0.7558, -0.9194],
    drawn: [3195, 468, 1997, 1788, 4035, 4026, 3206, 3504, 2222],
  },
  IQ4_XS: {
    projections: [-0.304, -0.1002, 0.5607, 0.0712, -0.4687, 0.2657],
    drawn: [3254, 1112, 2962, 3070, 3106, 3956, 1627, 3007, 2222],
  },
  MXFP4: {
    projections: [0.3949, 0.6298, 0.4276, -0.5451, 0.5328, -0.2708],
    drawn: [1424, 3791, 1522, 1011, 3966, 3700, 3443, 2482, 2222],
  },
  long: { projections: [0.5064, 0.487, 0.0974, 0.008], drawn: [] },
  window: { projections: [0.341, -0.3921, -1.2461, 1.0377], drawn: [] },
  normAdd: { projections: [-0.5233, -0.4596, -0.238, -0.0538], drawn: [] },
  experts: { projections: [-0.5077, 0.1045, 0.1779, 0.3624, -0.1564, -0.0027], drawn: [] },
};
