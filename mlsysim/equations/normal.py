"""The normal distribution: quantiles and tail without a library call, so that they compile and broadcast."""

import numpy as np

# Wichura 1988, algorithm AS 241 (PPND16): relative error below 1e-15.  Lowest power first.
_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_MIDDLE = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)

# Abramowitz and Stegun 1964, 7.1.26
_ERF_SCALE = 0.3275911
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_HALF_ROOT = 2.0**-0.5

#: least probability that is told from none: 2^-1022, the smallest normal double
SMALLEST_TAIL = 2.0**-1022


def _polynomial(coefficients, x):
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


def _ratio(numerator_denominator, x):
    return _polynomial(numerator_denominator[0], x) / _polynomial(numerator_denominator[1], x)


def normal_quantile(probability):
    """Value that a standard normal variable stays below with this probability; 0 gives -37.5, 1 its opposite.

    References
    ----------
    Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution", Appl. Statist. 37(3).

    Examples
    --------
    >>> round(float(normal_quantile(0.975)), 9), float(normal_quantile(0.5))
    (1.959963985, 0.0)
    """
    centred = probability - 0.5
    central = centred * _ratio(_CENTRE, 0.180625 - centred * centred)
    tail = np.minimum(probability, 1.0 - probability)
    root = np.sqrt(-np.log(np.maximum(tail, SMALLEST_TAIL)))
    outer = np.where(root <= 5.0, _ratio(_MIDDLE, root - 1.6), _ratio(_TAIL, root - 5.0))
    return np.where(np.abs(centred) <= 0.425, central, np.where(centred < 0, -outer, outer))


def largest_deviate(count):
    """Expected largest of n standard normal deviates: ``Phi^-1((n - 3/8)/(n + 1/4))``; 0 for one.

    Examples
    --------
    >>> round(float(largest_deviate(2.0)), 3), round(float(largest_deviate(10.0)), 3)  # exact: 0.564 and 1.539
    (0.589, 1.547)

    References
    ----------
    Blom 1958, "Statistical Estimates and Transformed Beta-Variables".
    """
    return np.where(count > 1, normal_quantile((count - 0.375) / (count + 0.25)), 0.0)


def normal_tail(value):
    """Probability that a standard normal variable exceeds `value`.

    Notes
    -----
    Rational approximation of Abramowitz and Stegun 7.1.26 for erfc: absolute error below 1.5e-7.

    Examples
    --------
    >>> float(np.round(normal_tail(1.959964), 6)), float(np.round(normal_tail(0.0), 6))
    (0.025, 0.5)
    """
    size = np.abs(value)
    u = 1.0 / (1.0 + _ERF_SCALE * size * _HALF_ROOT)
    tail = 0.5 * u * _polynomial(_ERF, u) * np.exp(-0.5 * value * value)
    return np.where(value >= 0, tail, 1.0 - tail)
