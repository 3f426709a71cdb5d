/** Where the surface stands in the picture. */
import { vec3 } from 'wgpu-matrix';
import { expect, test } from 'vitest';
import { FIRST_EYE, HEIGHT, inSight, viewMatrix } from './surface';

const CORNERS = [-0.5, 0.5].flatMap((x) => [-HEIGHT, HEIGHT].flatMap((y) => [-0.5, 0.5].map((z) => [x, y, z])));

test.each([0.4, 0.86, 1, 2.2, 4])(
  'the whole surface is in view, however it is turned, in a picture %f times as wide as high',
  (aspect) => {
    let widest = 0;
    for (let pitch = 0.1; pitch <= 1.5; pitch += 0.1)
      for (let yaw = 0; yaw < 6.3; yaw += 0.1) {
        const matrix = viewMatrix({ ...FIRST_EYE, yaw, pitch }, aspect);
        for (const corner of CORNERS) {
          const [x, y, depth] = vec3.transformMat4(corner, matrix);
          if (!(depth > 0 && depth < 1)) expect.fail(`a corner has the depth ${depth}`);
          widest = Math.max(widest, Math.abs(x), Math.abs(y));
        }
      }
    expect(widest).toBeLessThan(1);
    // and it is no smaller than it must be
    expect(widest).toBeGreaterThan(0.93);
  },
);

test('the eye stays above the surface, and near enough to see it', () => {
  expect(inSight({ yaw: 9, pitch: 7, distance: 100 })).toEqual({ yaw: 9, pitch: 1.5, distance: 2.5 });
  expect(inSight({ yaw: -9, pitch: -7, distance: 0 })).toEqual({ yaw: -9, pitch: 0.1, distance: 0.4 });
});
