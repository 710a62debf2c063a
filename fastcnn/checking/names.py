"""How people call the methods, arguments, weights and gradients of their layers."""

import re
from collections.abc import Iterable

FORWARD = (
    "forward", "forward_pass", "forward_propagation", "forward_propagate", "forward_prop",
    "forwardprop", "feed_forward", "feedforward", "fprop", "forwards", "fwd", "propagate",
    "__call__", "call", "activate", "compute_loss", "calculate_loss", "calc_loss", "get_loss",
    "loss", "cost", "compute", "calculate", "calc", "apply", "func", "function", "fn", "f",
)  # fmt: skip
BACKWARD = (
    "backward", "backward_pass", "backward_propagation", "backward_propagate", "backward_prop",
    "backwardprop", "back_propagation", "back_propagate", "back_prop", "backprop",
    "backpropagation", "backpropagate", "bprop", "backwards", "bwd", "back", "loss_gradient",
    "compute_gradient", "compute_gradients", "calculate_gradient", "get_gradient", "gradient",
    "gradients", "grad", "delta", "loss_prime", "loss_derivative", "derivative", "prime", "deriv",
    "activation_prime", "activation_derivative", "dfunc", "df", "d",
)  # fmt: skip
# Methods that give f'(x), which the caller multiplies with dy.
DERIVATIVE = {"derivative", "prime", "deriv", "activationprime", "activationderivative", "dfunc"}
DERIVATIVE |= {"df", "d"}

# What an argument or an attribute is for -> its names, without case and underscores.
_ROLES = {
    "training": "training train istraining istrain trainflg trainflag trainmode mode",
    "lr": "lr learningrate learnrate eta steps stepsize rate",
    "in_channels": (
        "inchannels inputchannels channelsin inchannel inputchannel inch cin inc ic numchannels "
        "channels nchannels nc inplanes inputdepth depth numinputchannels ninchannels nchannel c "
        "infilters inmaps ninputchannels numinchannels infeaturemaps"
    ),
    "out_channels": (
        "outchannels outputchannels channelsout outchannel outputchannel outch cout outc oc "
        "numfilters nfilters filters filtersnum nfilter filternum filtercount outplanes "
        "outputdepth numkernels nkernels kernels numoutputchannels noutchannels nkernel outfilters "
        "outmaps fn numfilter filterscount kernelcount outfeaturemaps nf"
    ),
    "kernel": (
        "kernelsize filtersize ksize size fsize kernel kernelshape fieldsize filtershape window "
        "windowsize poolsize pool poolingsize poolshape poolingshape windowshape k f ks hf ws kh "
        "kw fh fw kernelh kernelw filterh filterw kernelheight kernelwidth filterheight "
        "filterwidth hh ww poolh poolw poolheight poolwidth sizeh sizew ph pw windowheight "
        "windowwidth receptivefield spatialextent extent"
    ),
    "stride": "stride strides s st stridesize strideh stridew sh sw step striding",
    "padding": "padding pad p pads zeropadding padsize paddingsize npad zeropad padwidth padh padw",
    "in_features": (
        "infeatures inputfeatures inputsize inputdim inputdims nin ninputs numinputs insize indim "
        "fanin inputs ninput inunits inputunits inputlen inputs inputlength inneurons nfeatures "
        "indims nx nprev dimin inputshapeflat numin inputcount numfeatures din insz nbinputs m"
    ),
    "out_features": (
        "outfeatures outputfeatures outputsize outputdim nout noutputs numoutputs outsize outdim "
        "fanout outputs noutput outunits outputunits units nodes numneurons neurons nneurons "
        "nunits numunits hidden hiddensize outneurons outputlength outputlen outdims numout "
        "outputcount dout outsz nbneurons nh nunit dimout numclasses n width hiddenunits"
    ),
    "features": (
        "numfeatures nfeatures features dim dims channels numchannels nchannels size c d "
        "normalizedshape dmodel embeddim hiddensize ndims shape inputshape inputdim insize "
        "inchannels nout f featurecount inputsize "
        "ndim nf infeatures planes inputchannels"
    ),
    "groups": "numgroups groups g ngroups group",
    "rate": (
        "rate p dropoutrate droprate dropprob dropoutprob prob probability dropoutratio ratio "
        "dropout dropoutp pdrop dropprobability keepprob keep pkeep keeprate"
    ),
    "input_shape": "inputshape inshape inputdim inputdims shape inputsize imageshape xshape",
    "weight": "w weight weights kernel kernels filter filters k f theta winit initw",
    "bias": "b bias biases binit",
    "gamma": "gamma g scale w weight gammas alpha",
    "beta": "beta shift b bias betas offset",
    "seed": "seed randomseed randomstate",
    "rng": "rng generator random randomgenerator",
    "dtype": "dtype",
    "count_include_pad": "countincludepad includepad",
    "momentum": "momentum",
    "eps": "eps epsilon",
    "slope": "alpha slope negativeslope leak a leakyslope negslope",
}  # fmt: skip
ROLES = {role: frozenset(names.split()) for role, names in _ROLES.items()}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TARGETS = _words(
    "target targets label labels ytrue true truth groundtruth gt t onehot yonehot actual "
    "expected desired tgt ytarget truelabels truelabel classes teacher labelsonehot yreal real"
)
_PREDICTIONS = _words(
    "ypred yhat yhats pred preds predicted prediction predictions logits logit scores score x z "
    "a p probs prob probabilities out output outputs input inputs o activations"
)
_UPSTREAM = _words(
    "dy dout dz da dl grad gradient gradoutput outputgradient upstream delta error dloss dldout "
    "outgrad gradout dldy douts err gradoutputs dvalues doutput"
)

# What `forward` leaves behind if it returns nothing.
OUTPUTS = ("output", "outputs", "out", "y", "a", "activation", "activations", "result", "z", "loss")
# What `backward` leaves behind if it returns nothing.
INPUT_GRADIENTS = (
    "dinputs", "dinput", "dx", "dxs", "gradinput", "inputgrad", "gradinputs", "inputsgrad",
    "inputgradient", "daprev", "xgrad", "gradx", "din", "dprev", "dlogits", "dpred", "grad",
    "gradient", "delta",
)  # fmt: skip
# One letter and long names of the same array.
_SAME = (
    {"w", "weight", "weights", "kernel", "kernels", "filter", "filters", "k", "theta", "wt", "ws"},
    {"b", "bias", "biases", "bs"},
    {"gamma", "gammas", "g", "scale", "w", "weight"},
    {"beta", "betas", "shift", "b", "bias", "offset"},
)
_MARKER = re.compile(
    r"^(d_?l_?d_?|dloss_?d?_?|d_|d|grads?_?|gradients?_?|delta_?|nabla_?|g_|partial_?|der_?)(?=.)"
    r"|(?<=.)(_?d|_?grads?|_?gradients?|_g|_der|_delta|_prime|_derivative)$",
    re.IGNORECASE,
)
_CONTAINER = re.compile(r"grad|^_?d(elta)?s?$", re.IGNORECASE)


def plain(name: str) -> str:
    """A name without case and underscores."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def role_of(name: str, roles: Iterable[str]) -> str | None:
    """The first of these roles that the name may have."""
    return next((role for role in roles if plain(name) in ROLES[role]), None)


def is_parameter(name: str) -> bool:
    """Whether a trained array is usually called so."""
    bare = re.sub(r"\d+$", "", plain(name))
    return any(bare in names for names in _SAME)


def is_gradient_of(path: tuple[str, ...], parameter: tuple[str, ...]) -> int:
    """How surely (0: not) the array at `path` is the gradient of the one at `parameter`.

    Paths are names of attributes, keys and places from outside in.
    """
    marked = any(map(_CONTAINER.search, path[:-1]))
    key, base = path[-1], plain(parameter[-1])
    if path[-1] in ("grad", "gradient", "g") and path[:-1] == parameter[:-1] != ():
        return 4  # of an object that holds both
    if path[:-1] == parameter and _CONTAINER.search(key):
        return 4
    if key.isdigit() or parameter[-1].isdigit():
        return 3 * (marked and key == parameter[-1])
    names = {plain(key)} if marked else set()
    for match in _MARKER.finditer(key):
        names.add(plain(key[: match.start()] + key[match.end() :]))
        rest = _MARKER.sub("", key, count=1)
        names.add(plain(rest))
    if key[:1] in "gG" and plain(key[1:]) == base:
        names.add(base)  # gW
    names.discard("")
    if base in names:
        return 3
    bare, number = re.sub(r"\d+$", "", base), re.search(r"\d*$", base)
    for group in _SAME:
        if bare in group:
            for name in names:
                same_number = re.search(r"\d*$", name)[0] == number[0]  # type: ignore[index]
                if re.sub(r"\d+$", "", name) in group and same_number:
                    return 2
    return 0


def looks_like_gradient(path: tuple[str, ...]) -> bool:
    """Whether an array is called like a gradient, whatever its parameter."""
    inside = any(map(_CONTAINER.search, path[:-1]))
    return inside or (
        bool(re.match(r"(d|grad|delta|nabla)_?[A-Za-z]", path[-1]))
        and (is_parameter(_MARKER.sub("", path[-1], count=1)) or "grad" in path[-1].lower())
    )


def targets_among(names: list[str]) -> int | None:
    """Which of the arguments of a loss holds the targets; None if none does."""
    score = [
        3 if plain(name) in _TARGETS else 1 if plain(name) in ("y", "ys", "yy", "ytr") else
        -1 if plain(name) in _PREDICTIONS or plain(name) in _UPSTREAM else 0
        for name in names
    ]  # fmt: skip
    best = max(score, default=0)
    return score.index(best) if best > 0 else None


def is_upstream(name: str) -> bool:
    """Whether an argument of `backward` is the gradient from behind."""
    bare = plain(name)
    return bare in _UPSTREAM or bool(re.match(r"d(?!ata)|grad|.*grad(ient)?s?$", bare))


def is_target(name: str) -> bool:
    """Whether an argument holds targets for certain."""
    return plain(name) in _TARGETS
